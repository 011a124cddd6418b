# Builds the Rust crate as a static library: cmake -DCARGO=... -DCRATE=... -DTARGET_DIR=... [-DTRIPLE=...] -P build_rust.cmake
# Works without a network once the crates are on this machine: they are fetched only when something is missing.
cmake_minimum_required(VERSION 3.25)

set(target_option)
set(output ${TARGET_DIR}/release/libingot_text_rs.a)
if(TRIPLE)
  set(target_option --target ${TRIPLE})
  set(output ${TARGET_DIR}/${TRIPLE}/release/libingot_text_rs.a)
endif()

# Without a target cargo would ask for the crates of every system. Build scripts need those of this machine.
execute_process(COMMAND ${CARGO} -vV OUTPUT_VARIABLE version COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCH "host: ([^\n]+)" host "${version}")
set(fetch ${CARGO} fetch --locked --target ${CMAKE_MATCH_1} ${target_option})
execute_process(COMMAND ${fetch} --offline WORKING_DIRECTORY ${CRATE} RESULT_VARIABLE missing OUTPUT_QUIET ERROR_QUIET)
if(missing)
  message(STATUS "Fetching the crates of src/text/rust")
  execute_process(COMMAND ${fetch} WORKING_DIRECTORY ${CRATE} RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "cargo could not fetch the crates that src/text/rust/Cargo.lock names. The first build needs access "
            "to the crate registry (or a vendored copy, see `cargo vendor --help`); later builds work offline.")
  endif()
endif()

execute_process(COMMAND ${CARGO} build --release --locked --offline --target-dir ${TARGET_DIR} ${target_option}
                WORKING_DIRECTORY ${CRATE} RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "cargo build failed in ${CRATE}. Rust 1.87 or newer is needed.")
endif()
file(TOUCH ${output})  # cargo leaves it alone when nothing changed; the build would ask again each time
