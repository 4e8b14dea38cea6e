# Writes OUTPUT, a C++ source that defines drnas::FUNCTION() as the bytes of INPUT; HEADER declares it.
#   cmake -DOUTPUT=... -DINPUT=... -DFUNCTION=... -DHEADER=... -P embed_bytes.cmake
file(READ ${INPUT} HEX HEX)
string(REGEX REPLACE "(..)" "0x\\1," HEX "${HEX}")
file(WRITE ${OUTPUT} "#include \"${HEADER}\"\n\nnamespace drnas {\n
static constexpr unsigned char bytes[] = {${HEX}};
std::span<const std::byte> ${FUNCTION}() { return std::as_bytes(std::span(bytes)); }\n
}  // namespace drnas\n")
