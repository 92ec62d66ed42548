# Fuzz targets, tests/fuzz/fuzz_<name>.c (docs/fuzzing.md). With TH_FUZZ each is a libFuzzer program.
# In every other build it is linked with replay.c, and the test fuzz/<name> feeds it its corpus.
if(TH_FUZZ AND NOT CMAKE_C_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "libFuzzer comes with clang: configure with -DCMAKE_C_COMPILER=clang")
endif()
set(fuzz_corpus ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus)
add_library(fuzz_common STATIC)
foreach(part check_tokenizer fuzz read_source)
    target_sources(fuzz_common PRIVATE ${CMAKE_SOURCE_DIR}/tests/fuzz/${part}.c)
endforeach()
target_link_libraries(fuzz_common PUBLIC th_dataloader th_checkpoint)

file(GLOB targets CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/fuzz/fuzz_*.c)
foreach(source ${targets})
    get_filename_component(target ${source} NAME_WE)
    string(REGEX REPLACE "^fuzz_" "" name ${target})
    add_executable(${target} ${source})
    target_link_libraries(${target} PRIVATE fuzz_common)
    if(name STREQUAL "yaml") # what a run file becomes, without the rest of trainer and launch
        foreach(part launch/config trainer/options trainer/model trainer/parameters trainer/pattern
                     trainer/scalars trainer/schedule/schedule trainer/schedule/stage trainer/schedule/stage_options
                     trainer/schedule/trigger)
            target_sources(${target} PRIVATE ${CMAKE_SOURCE_DIR}/${part}.c)
        endforeach()
        target_link_libraries(${target} PRIVATE PkgConfig::YAML)
    endif()
    if(TH_FUZZ)
        target_link_options(${target} PRIVATE -fsanitize=fuzzer)
    else()
        target_sources(${target} PRIVATE ${CMAKE_SOURCE_DIR}/tests/fuzz/replay.c)
        add_test(NAME fuzz/${name} COMMAND ${target} ${fuzz_corpus}/${name})
        set_tests_properties(fuzz/${name} PROPERTIES LABELS fuzz TIMEOUT 60)
    endif()
endforeach()

# Writes the seeds of every target: `fuzz_seeds FOLDER`. The corpus holds what it wrote, and beside
# it, as found-*, what a fuzzer found.
add_executable(seeds ${CMAKE_SOURCE_DIR}/tests/fuzz/seeds.c)
set_target_properties(seeds PROPERTIES OUTPUT_NAME fuzz_seeds)
target_link_libraries(seeds PRIVATE fuzz_common)
