# SPDX-License-Identifier: Apache-2.0
# Writes HEADER with the commit of SOURCE, only if it changed. "-dirty": the sources that figures depend on differ from it. No
# lock of the repository is taken.
set(git git --no-optional-locks -C ${SOURCE})
execute_process(COMMAND ${git} rev-parse --short=10 HEAD OUTPUT_VARIABLE commit
                OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed OR commit STREQUAL "")
  set(commit unknown)
else()
  execute_process(COMMAND ${git} diff --quiet HEAD -- src/base src/tensor src/kernels src/model src/bench
                  OUTPUT_QUIET ERROR_QUIET RESULT_VARIABLE dirty)
  if(dirty)
    string(APPEND commit "-dirty")
  endif()
endif()
set(text "// Made by src/bench/write_commit.cmake.\n#pragma once\n#define INGOT_COMMIT \"${commit}\"\n")
set(old "")
if(EXISTS ${HEADER})
  file(READ ${HEADER} old)
endif()
if(NOT old STREQUAL text)
  file(WRITE ${HEADER} "${text}")
endif()
