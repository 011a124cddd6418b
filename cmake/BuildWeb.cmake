# Script (cmake -P): builds the embedded PAGES (names of folders of web/) into OUT_DIR. The packages of
# web/package-lock.json are installed once per lock file; after that no network is needed.
# Variables: WEB_DIR, OUT_DIR, PAGES, LOCK_FILE.
foreach(tool node npm)
  find_program(INGOT_${tool} ${tool})
  if(NOT INGOT_${tool})
    message(FATAL_ERROR "${tool} is needed to build the pages of web/. Run scripts/setup, or install Node.js >= 18 and npm.")
  endif()
endforeach()

# Several build folders may share web/node_modules.
file(LOCK ${LOCK_FILE} GUARD PROCESS TIMEOUT 600)
file(SHA256 ${WEB_DIR}/package-lock.json wanted)
set(stamp ${WEB_DIR}/node_modules/.ingot-installed)
set(installed "")
if(EXISTS ${stamp})
  file(READ ${stamp} installed)
endif()
if(NOT installed STREQUAL wanted)
  execute_process(COMMAND ${INGOT_npm} ci --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error
                  WORKING_DIRECTORY ${WEB_DIR} RESULT_VARIABLE result)
  if(result)
    message(FATAL_ERROR "npm ci failed in ${WEB_DIR}. The first build needs the network for the page's packages.")
  endif()
  file(WRITE ${stamp} ${wanted})
endif()

execute_process(COMMAND ${INGOT_node} build.mjs ${OUT_DIR} ${PAGES} WORKING_DIRECTORY ${WEB_DIR} RESULT_VARIABLE result)
if(result)
  message(FATAL_ERROR "the pages of ${WEB_DIR} do not build (node build.mjs)")
endif()
