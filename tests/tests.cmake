# Every test that stands in tests/ is built and given to ctest, labelled by its kind.

add_library(th_test INTERFACE)
target_link_libraries(th_test INTERFACE flags PkgConfig::CMOCKA)

# A test in tests/unit/trainer/ whose name ends in _double links the trainer in double precision.
function(test_library folder name out)
    if(folder STREQUAL "trainer" AND name MATCHES "_double$")
        set(${out} th_trainer_double PARENT_SCOPE)
    else()
        set(${out} th_${folder} PARENT_SCOPE)
    endif()
endfunction()

file(GLOB unit_tests CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/unit/*/test_*.c)
foreach(source ${unit_tests})
    get_filename_component(name ${source} NAME_WE)
    get_filename_component(folder ${source} DIRECTORY)
    get_filename_component(folder ${folder} NAME)
    string(REGEX REPLACE "^test_" "" name ${name})
    test_library(${folder} ${name} library)
    set(target unit_${folder}_${name})
    add_executable(${target} ${source})
    target_link_libraries(${target} PRIVATE th_test ${library})
    target_compile_definitions(${target} PRIVATE TH_TEST_BUILD="${CMAKE_BINARY_DIR}"
                               TH_TEST_SOURCE="${CMAKE_SOURCE_DIR}")
    add_test(NAME unit/${folder}/${name} COMMAND ${target})
    set_tests_properties(unit/${folder}/${name} PROPERTIES LABELS unit TIMEOUT 300
        ENVIRONMENT "OMP_NUM_THREADS=2;OMPI_ALLOW_RUN_AS_ROOT=1;OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1")
endforeach()

# MPI tests: one program, four worlds. Oversubscribed: they test results, never speed. A test whose
# name ends in _double links the trainer in double precision.
file(GLOB mpi_tests CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/mpi/test_*.c)
foreach(source ${mpi_tests})
    get_filename_component(name ${source} NAME_WE)
    string(REGEX REPLACE "^test_" "" name ${name})
    test_library(trainer ${name} library)
    add_executable(mpi_${name} ${source})
    target_link_libraries(mpi_${name} PRIVATE th_test ${library})
    foreach(ranks 1 2 3 4)
        add_test(NAME mpi/${name}/${ranks} COMMAND ${MPIEXEC_EXECUTABLE} -n ${ranks} --oversubscribe
                 --bind-to none $<TARGET_FILE:mpi_${name}>)
        set_tests_properties(mpi/${name}/${ranks} PROPERTIES LABELS mpi TIMEOUT 300 PROCESSORS 2
            ENVIRONMENT "OMP_NUM_THREADS=1;OMPI_ALLOW_RUN_AS_ROOT=1;OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1")
    endforeach()
endforeach()

# Scripts: whole programs, killed and starved and fed with damaged input.
file(GLOB scripts CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/fault/*.sh
     ${CMAKE_SOURCE_DIR}/tests/house/*.sh)
foreach(script ${scripts})
    get_filename_component(name ${script} NAME_WE)
    get_filename_component(kind ${script} DIRECTORY)
    get_filename_component(kind ${kind} NAME)
    add_test(NAME ${kind}/${name} COMMAND bash ${script} ${CMAKE_BINARY_DIR}
             WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(${kind}/${name} PROPERTIES LABELS ${kind} TIMEOUT 600
        SKIP_RETURN_CODE 77 PROCESSORS 2
        ENVIRONMENT "OMPI_ALLOW_RUN_AS_ROOT=1;OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1")
    if(name MATCHES "_time$") # what is timed stands alone
        set_tests_properties(${kind}/${name} PROPERTIES RUN_SERIAL ON)
    endif()
endforeach()

# Reference tests: thaw beside torch, open_clip and transformers. The first one installs these, or says
# why it cannot; then the others are skipped. A program tests/parity/<name>.c is built as parity_<name>.
file(GLOB programs CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/parity/*.c)
foreach(source ${programs})
    get_filename_component(name ${source} NAME_WE)
    add_executable(parity_${name} ${source})
    target_link_libraries(parity_${name} PRIVATE th_launch)
endforeach()
file(GLOB scripts CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/parity/*.sh)
foreach(script ${scripts})
    get_filename_component(name ${script} NAME_WE)
    add_test(NAME parity/${name} COMMAND bash ${script} ${CMAKE_BINARY_DIR}
             WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(parity/${name} PROPERTIES LABELS parity TIMEOUT 1800 SKIP_RETURN_CODE 77
        ENVIRONMENT "OMPI_ALLOW_RUN_AS_ROOT=1;OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1")
    if(name STREQUAL "install")
        set_tests_properties(parity/${name} PROPERTIES FIXTURES_SETUP reference)
    else()
        set_tests_properties(parity/${name} PROPERTIES FIXTURES_REQUIRED reference)
    endif()
endforeach()

# Benchmarks, `ninja bench`: one program each, given everything. They print JSON lines and are not tests.
add_custom_target(bench)
add_library(bench_common STATIC EXCLUDE_FROM_ALL)
file(GLOB bench_parts CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/bench/*.c)
list(FILTER bench_parts EXCLUDE REGEX "/bench_[a-z_]*\\.c$")
target_sources(bench_common PRIVATE ${bench_parts})
target_link_libraries(bench_common PUBLIC th_trainer)
file(GLOB benchmarks CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/bench/bench_*.c)
foreach(source ${benchmarks})
    get_filename_component(name ${source} NAME_WE)
    add_executable(${name} EXCLUDE_FROM_ALL ${source})
    target_link_libraries(${name} PRIVATE bench_common)
    add_dependencies(bench ${name})
endforeach()
