# fmt from this machine's headers. Its folder alone is linked into the include path: the rest of /usr/include belongs to
# another architecture.
include(${CMAKE_CURRENT_LIST_DIR}/HostHeaders.cmake)
ingot_host_headers(fmt fmt/format.h)
if(NOT TARGET fmt::fmt)
  add_library(fmt::fmt INTERFACE IMPORTED)
  target_include_directories(fmt::fmt INTERFACE ${INGOT_HOST_HEADERS})
  target_compile_definitions(fmt::fmt INTERFACE FMT_HEADER_ONLY)
endif()
set(fmt_FOUND TRUE)
