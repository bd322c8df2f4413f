# cpack runs this on the installed tree before it packages it. The tree has Debian's layout; this
# changes it to the layout of Fedora's family.
if(CPACK_GENERATOR STREQUAL RPM)
    set(share ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/usr/share)
    file(REMOVE_RECURSE ${share}/lintian)
    file(REMOVE ${share}/doc/prebake/changelog.Debian.gz)
    if(EXISTS ${share}/zsh/vendor-completions)
        file(RENAME ${share}/zsh/vendor-completions ${share}/zsh/site-functions)
    endif()
endif()

# rpmbuild only clamps later times. Files that were built before the last commit would keep their
# own.
if(DEFINED ENV{SOURCE_DATE_EPOCH})
    execute_process(
        COMMAND find ${CPACK_TEMPORARY_INSTALL_DIRECTORY} -exec touch -h -d @$ENV{SOURCE_DATE_EPOCH} {} +
        COMMAND_ERROR_IS_FATAL ANY)
endif()
