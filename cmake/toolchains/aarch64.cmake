# Builds for aarch64 Linux on another machine and runs the tests under qemu (scripts/setup --aarch64 installs what is
# needed). QEMU_CPU in the environment chooses the CPU: neoverse-n1 has the instructions of a Kunpeng 920, max has all.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu)

# Header-only libraries and GoogleTest come from this machine's packages (Find modules beside this file).
list(PREPEND CMAKE_MODULE_PATH ${CMAKE_CURRENT_LIST_DIR}/aarch64)

# These need the picture libraries and Rust's standard library for aarch64; the rest needs only what is above.
set(INGOT_LEAVE_OUT text vision prompt quant engine eval server cli CACHE STRING "")
