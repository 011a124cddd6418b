# nlohmann-json from this machine's headers; see Findfmt.cmake.
include(${CMAKE_CURRENT_LIST_DIR}/HostHeaders.cmake)
ingot_host_headers(nlohmann nlohmann/json.hpp)
if(NOT TARGET nlohmann_json::nlohmann_json)
  add_library(nlohmann_json::nlohmann_json INTERFACE IMPORTED)
  target_include_directories(nlohmann_json::nlohmann_json INTERFACE ${INGOT_HOST_HEADERS})
endif()
set(nlohmann_json_FOUND TRUE)
