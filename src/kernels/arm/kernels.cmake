# The kernel files of aarch64, included by ../CMakeLists.txt. Not -mcpu=tsv110: g++ 12 does not count the dot product to
# it, though Kunpeng 920 has it. -mtune of a wide core schedules for all of them.
list(APPEND kernel_sources arm/tables.cc arm/neon.cc arm/dotprod.cc arm/i8mm.cc arm/bf16.cc)
# Scheduling before register allocation moves loads up and spills sums (these cores reorder by themselves); so does
# register allocation loop by loop. check_spills.sh looks at the result.
set(arm_options -O3 -mtune=neoverse-n1 -fno-schedule-insns -fira-region=one)
set_source_files_properties(arm/neon.cc PROPERTIES COMPILE_OPTIONS "${arm_options}")
set_source_files_properties(arm/dotprod.cc PROPERTIES COMPILE_OPTIONS "${arm_options};-march=armv8.2-a+dotprod+fp16")
set_source_files_properties(arm/i8mm.cc PROPERTIES COMPILE_OPTIONS "${arm_options};-march=armv8.2-a+dotprod+i8mm")
set_source_files_properties(arm/bf16.cc PROPERTIES COMPILE_OPTIONS "${arm_options};-march=armv8.2-a+bf16")
set(forced_isas scalar neon dotprod i8mm)

ingot_test(kernels_arm_packed_test LABELS "unit;per_isa" LAYERS kernels SOURCES arm/packed_arm_test.cc)
