# Run by cpack on what was installed, before it becomes a package: the tree is laid out for Debian, and this
# is what Fedora's family has otherwise.
if(CPACK_GENERATOR STREQUAL RPM)
    set(share ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/usr/share)
    file(REMOVE_RECURSE ${share}/lintian)
    file(REMOVE ${share}/doc/prebake/changelog.Debian.gz)
    if(EXISTS ${share}/zsh/vendor-completions)
        file(RENAME ${share}/zsh/vendor-completions ${share}/zsh/site-functions)
    endif()
endif()

# rpmbuild makes later times earlier only: what was built before the last commit would keep its own.
if(DEFINED ENV{SOURCE_DATE_EPOCH})
    execute_process(
        COMMAND find ${CPACK_TEMPORARY_INSTALL_DIRECTORY} -exec touch -h -d @$ENV{SOURCE_DATE_EPOCH} {} +
        COMMAND_ERROR_IS_FATAL ANY)
endif()
