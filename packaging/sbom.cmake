# prebake_write_sbom(FILE LIBRARIES...): the list of prebake_linked_libraries() as SPDX 2.3 in JSON.
# The same list and SOURCE_DATE_EPOCH give the same file.
#
# One package for each entry of LIBRARIES, which the program contains (STATIC_LINK) or brings along
# (DYNAMIC_LINK). The name of the document is derived from the list: SPDX requires a unique one for each document.
function(prebake_write_sbom file)
    cmake_host_system_information(RESULT distribution QUERY DISTRIB_ID)
    set(SBOM_PACKAGES "")
    set(SBOM_RELATIONSHIPS "")
    foreach(library IN LISTS ARGN)
        string(REPLACE "|" ";" fields ${library})
        list(POP_FRONT fields name version license source source_version package how)
        string(REGEX REPLACE "[^a-zA-Z0-9.-]" "-" id "SPDXRef-${name}")
        string(REPLACE "+" "%2B" purl "pkg:deb/${distribution}/${source}@${source_version}?arch=source")
        string(APPEND SBOM_PACKAGES ",
    {
      \"SPDXID\": \"${id}\",
      \"name\": \"${name}\",
      \"versionInfo\": \"${version}\",
      \"sourceInfo\": \"built from ${source} ${source_version} of ${distribution}\",
      \"downloadLocation\": \"NOASSERTION\",
      \"filesAnalyzed\": false,
      \"licenseConcluded\": \"${license}\",
      \"licenseDeclared\": \"${license}\",
      \"copyrightText\": \"NOASSERTION\",
      \"externalRefs\": [
        {
          \"referenceCategory\": \"PACKAGE-MANAGER\",
          \"referenceType\": \"purl\",
          \"referenceLocator\": \"${purl}\"
        }
      ]
    }")
        string(APPEND SBOM_RELATIONSHIPS ",
    {
      \"spdxElementId\": \"SPDXRef-prebake\",
      \"relationshipType\": \"${how}\",
      \"relatedSpdxElement\": \"${id}\"
    }")
    endforeach()
    string(SHA256 SBOM_SHA256 "${PROJECT_VERSION};${distribution};${ARGN}")
    string(TIMESTAMP SBOM_CREATED "%Y-%m-%dT%H:%M:%SZ" UTC)
    configure_file(${PROJECT_SOURCE_DIR}/packaging/sbom.spdx.json.in ${file} @ONLY)
endfunction()
