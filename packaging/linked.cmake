# The libraries of others that are part of the program, with their versions and licenses.
#
# prebake_linked_file(FILE...)    these archives or headers are compiled or linked into the program
# prebake_shipped_library(FILE)   this shared library comes with the program, in a directory of its own
# prebake_linked_libraries(OUT)   the list "NAME|VERSION|LICENSE|SOURCE|SOURCE_VERSION|PACKAGE|HOW" in the
#                                 order of names. SOURCE is the source package of the distribution, and
#                                 PACKAGE the package that has the files. HOW is STATIC_LINK or, for what
#                                 is shipped, DYNAMIC_LINK (as SPDX calls them). Empty without dpkg.
#
# dpkg knows which package a file belongs to, so no list of packages must follow the distribution's
# releases. tests/lint/linked.py checks the result against what the compiler and the linker have read.

include_guard(GLOBAL)

function(prebake_linked_file)
    set_property(GLOBAL APPEND PROPERTY PREBAKE_LINKED_FILES ${ARGN})
endfunction()

function(prebake_shipped_library file)
    prebake_linked_file(${file})
    set_property(GLOBAL APPEND PROPERTY PREBAKE_SHIPPED_LIBRARIES ${file})
endfunction()

# The packages that have the files.
function(prebake_owners out)
    set(files "")
    foreach(file IN LISTS ARGN)
        file(REAL_PATH ${file} file)
        list(APPEND files ${file})
    endforeach()
    execute_process(COMMAND ${PREBAKE_DPKG_QUERY} --search ${files}
        OUTPUT_VARIABLE answer ERROR_VARIABLE unknown RESULT_VARIABLE result)
    if(NOT result EQUAL 0)
        message(WARNING "These files belong to no package, so `prebake version --verbose` and the "
            "packages do not list them:\n${unknown}")
    endif()
    string(REGEX MATCHALL "[^\n]+\n" lines "${answer}")
    list(TRANSFORM lines REPLACE ": /[^\n]*\n$" "")
    # Packages of several architectures share a file: "libfmt-dev:amd64, libfmt-dev:i386".
    list(TRANSFORM lines REPLACE ", .*" "")
    list(REMOVE_DUPLICATES lines)
    set(${out} ${lines} PARENT_SCOPE)
endfunction()

function(prebake_linked_libraries out)
    set(${out} "" PARENT_SCOPE)
    find_program(PREBAKE_DPKG_QUERY dpkg-query)
    if(NOT PREBAKE_DPKG_QUERY)
        return()
    endif()
    # Source package, name, SPDX expression of the code that is used.
    set(licenses
        "abseil|abseil|Apache-2.0"
        "boost[0-9.]*|boost|BSL-1.0"
        "c-ares|c-ares|MIT"
        "cli11|cli11|BSD-3-Clause"
        "fmtlib|fmt|MIT"
        "gcc-[0-9]+|libstdc++|GPL-3.0-or-later WITH GCC-exception-3.1"
        "grpc|grpc|Apache-2.0 AND BSD-3-Clause"
        "libisal|isa-l|BSD-3-Clause"
        "libzstd|zstd|BSD-3-Clause"
        "protobuf|protobuf|BSD-3-Clause"
        "re2|re2|BSD-3-Clause"
        "spdlog|spdlog|MIT"
        "tomlplusplus|tomlplusplus|MIT"
        "yaml-cpp|yaml-cpp|MIT"
        "zlib|zlib|Zlib")
    get_property(files GLOBAL PROPERTY PREBAKE_LINKED_FILES)
    prebake_owners(packages ${files})
    get_property(shipped GLOBAL PROPERTY PREBAKE_SHIPPED_LIBRARIES)
    prebake_owners(shipped_packages ${shipped})
    set(libraries "")
    set(sources "")
    foreach(package IN LISTS packages)
        execute_process(
            COMMAND ${PREBAKE_DPKG_QUERY} --show
                    --showformat "\${source:Package}|\${source:Version}|\${source:Upstream-Version}" ${package}
            OUTPUT_VARIABLE answer COMMAND_ERROR_IS_FATAL ANY)
        string(REPLACE "|" ";" answer ${answer})
        list(POP_FRONT answer source source_version version)
        if(source IN_LIST sources)
            continue()
        endif()
        list(APPEND sources ${source})
        # Debian marks what it left out of the source.
        string(REGEX REPLACE "[.+~](dfsg|ds)[0-9]*$" "" version ${version})
        set(package_and_how "${package}|STATIC_LINK")
        if(package IN_LIST shipped_packages)
            set(package_and_how "${package}|DYNAMIC_LINK")
        endif()
        set(entry "")
        foreach(row IN LISTS licenses)
            string(REPLACE "|" ";" row ${row})
            list(POP_FRONT row pattern name license)
            if(source MATCHES "^(${pattern})$")
                set(entry "${name}|${version}|${license}|${source}|${source_version}|${package_and_how}")
            endif()
        endforeach()
        if(NOT entry)
            message(WARNING "packaging/linked.cmake has no license for ${source}")
            set(entry "${source}|${version}|NOASSERTION|${source}|${source_version}|${package_and_how}")
        endif()
        list(APPEND libraries ${entry})
        # A new version of the package is read when it is built the next time.
        string(REGEX REPLACE ":.*" "" bare ${package})
        foreach(list IN ITEMS ${package} ${bare})
            if(EXISTS /var/lib/dpkg/info/${list}.list)
                set_property(DIRECTORY ${PROJECT_SOURCE_DIR} APPEND PROPERTY
                    CMAKE_CONFIGURE_DEPENDS /var/lib/dpkg/info/${list}.list)
            endif()
        endforeach()
    endforeach()
    list(SORT libraries)
    set(${out} ${libraries} PARENT_SCOPE)
endfunction()
