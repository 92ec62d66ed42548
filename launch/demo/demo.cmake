# The demo's own programs, in build/demo/ (`ninja demo`): emoji makes the data, letters the baseline.
# They need libexpat1-dev at build time, and fonts-noto-color-emoji and unicode-cldr-core to run. Without
# expat the rest of thaw is built all the same.
pkg_check_modules(EXPAT IMPORTED_TARGET expat)
add_custom_target(demo)
if(NOT EXPAT_FOUND)
    message(STATUS "launch/demo: no expat (libexpat1-dev), so build/demo/emoji is not built")
endif()

function(demo_program name)
    list(TRANSFORM ARGN PREPEND ${CMAKE_SOURCE_DIR}/launch/demo/ OUTPUT_VARIABLE sources)
    add_executable(demo_${name} ${sources})
    set_target_properties(demo_${name} PROPERTIES OUTPUT_NAME ${name}
                          RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/demo)
    target_link_libraries(demo_${name} PRIVATE th_dataloader)
    add_dependencies(demo demo_${name})
endfunction()

if(EXPAT_FOUND)
    demo_program(emoji emoji.c font.c names.c tar.c)
    target_link_libraries(demo_emoji PRIVATE PkgConfig::EXPAT)
endif()
demo_program(letters letters.c bm25.c tar.c)
