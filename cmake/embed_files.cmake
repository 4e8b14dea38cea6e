# Writes OUTPUT, a C++ source with the page of a report. PAGE, STYLE: files; SCRIPTS: files in their order, separated by |.
#   cmake -DOUTPUT=... -DPAGE=... -DSTYLE=... -DSCRIPTS=... -P embed_files.cmake
# Bytes as numbers: string literals have a length limit in some compilers and no raw form for every text.
set(SOURCE "#include \"tools/report/report_page.h\"\n\nnamespace drnas::tools {\n")
string(REPLACE "|" ";" SCRIPTS "${SCRIPTS}")
macro(embed NAME)
  set(BYTES "")
  foreach(FILE ${ARGN})
    file(READ ${FILE} HEX HEX)
    string(REGEX REPLACE "(..)" "0x\\1," HEX "${HEX}")
    string(APPEND BYTES "${HEX}")
  endforeach()
  string(APPEND SOURCE "static constexpr unsigned char ${NAME}_bytes[] = {${BYTES}0};\n"
                       "const std::string_view ${NAME}(reinterpret_cast<const char*>(${NAME}_bytes), sizeof(${NAME}_bytes) - 1);\n")
endmacro()
embed(report_template ${PAGE})
embed(report_style ${STYLE})
embed(report_script ${SCRIPTS})
file(WRITE ${OUTPUT} "${SOURCE}}  // namespace drnas::tools\n")
