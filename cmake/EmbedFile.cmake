# Script (cmake -P): writes INPUT as a C++ source OUTPUT that defines `std::string_view SYMBOL()` in namespace ingot.
file(READ ${INPUT} bytes HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
string(REGEX REPLACE "((0x..,){24})" "\\1\n" bytes "${bytes}")
file(WRITE ${OUTPUT} "// Made by cmake/EmbedFile.cmake.
#include <string_view>

namespace ingot {

std::string_view ${SYMBOL}();

namespace {
constexpr unsigned char kBytes[] = {
${bytes}};
}  // namespace

std::string_view ${SYMBOL}() {
  return {reinterpret_cast<const char*>(kBytes), sizeof(kBytes)};
}

}  // namespace ingot
")
