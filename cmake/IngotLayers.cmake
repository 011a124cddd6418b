# Helper functions for the folders under src/. A layer exposes only its own headers (as "<layer>/x.h") and those of the
# layers that it links, so a folder that is not linked cannot be included: the include rule of src/README.md is enforced
# by the compiler. The include roots are symbolic links in build/layers/, shared by all build folders (ccache keeps hitting).

set(INGOT_LAYER_ROOT ${CMAKE_SOURCE_DIR}/build/layers)

# -Wno-restrict: g++ 12 warns falsely about std::string operator+ (gcc bug 105651). -Wno-deprecated-declarations: clang sees
# std::stable_sort of libstdc++ 12 use a deprecated function.
add_library(ingot_options INTERFACE)
target_compile_options(ingot_options INTERFACE -Wall -Wextra -Wshadow -Wno-missing-field-initializers
                       $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict> $<$<CXX_COMPILER_ID:Clang>:-Wno-deprecated-declarations> -ffp-contract=off -fno-omit-frame-pointer)
if(INGOT_WARNINGS_AS_ERRORS)
  target_compile_options(ingot_options INTERFACE -Werror)
endif()
if(INGOT_SANITIZE)
  target_compile_options(ingot_options INTERFACE -fsanitize=${INGOT_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(ingot_options INTERFACE -fsanitize=${INGOT_SANITIZE})
endif()

# ingot_layer(<name> SOURCES a.cc b.cc LINKS <other layers> LIBS <outside libraries, private> PUBLIC_LIBS <...>)
function(ingot_layer name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS;LIBS;PUBLIC_LIBS" ${ARGN})
  set(root ${INGOT_LAYER_ROOT}/${name})
  file(MAKE_DIRECTORY ${root})
  if(NOT EXISTS ${root}/${name})
    file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${root}/${name} SYMBOLIC)
  endif()
  add_library(ingot_${name} STATIC ${ARG_SOURCES})
  target_include_directories(ingot_${name} PUBLIC ${root})
  foreach(layer ${ARG_LINKS})
    target_link_libraries(ingot_${name} PUBLIC ingot_${layer})
  endforeach()
  target_link_libraries(ingot_${name} PUBLIC fmt::fmt Threads::Threads ${ARG_PUBLIC_LIBS} PRIVATE ingot_options ${ARG_LIBS})
endfunction()

# ingot_test(<name> LABELS unit LAYERS base SOURCES x_test.cc [LIBS ...] [ENV A=b ...] [TIMEOUT s])
# One ctest entry per test program; INGOT_TEST_DATA points to tests/data.
function(ingot_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;LAYERS;LIBS;LABELS;ENV" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  foreach(layer ${ARG_LAYERS})
    target_link_libraries(${name} PRIVATE ingot_${layer})
  endforeach()
  target_link_libraries(${name} PRIVATE ingot_options GTest::gtest GTest::gmock GTest::gtest_main ${ARG_LIBS})
  # Tests need no speed; this takes a quarter of the time off their compilation.
  target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O1>)
  target_compile_definitions(${name} PRIVATE INGOT_TEST_DATA="${CMAKE_SOURCE_DIR}/tests/data")
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}")
  if(ARG_TIMEOUT)
    set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT})
  endif()
  if(ARG_ENV)
    set_tests_properties(${name} PROPERTIES ENVIRONMENT "${ARG_ENV}")
  endif()
endfunction()
