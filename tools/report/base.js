const drnas = { data: JSON.parse(document.getElementById("data").textContent) };
document.title = drnas.data.title;
for (const run of drnas.data.runs) {
  const heading = document.createElement("h2");
  heading.textContent = run.name;
  const genotype = document.createElement("pre");
  genotype.textContent = run.genotype;
  document.getElementById("report").append(heading, genotype);
}
