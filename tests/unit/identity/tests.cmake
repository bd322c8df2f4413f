prebake_unit_tests(identity ROOT
    SOURCES bolt_file_test.cc builder_values_test.cc claim_test.cc docker_state_test.cc fingerprints_test.cc hostile_image_test.cc items_fixtures.cc
            items_fixtures_agents.cc items_fixtures_cluster.cc items_fixtures_network.cc items_fixtures_people.cc
            items_fixtures_system.cc items_rules_test.cc items_test.cc live_passwords_test.cc login_records_test.cc
            race_test.cc residue_test.cc seal_property_test.cc seal_test.cc services_test.cc survey_test.cc
            traps_test.cc firstboot/first_boot_crash_test.cc firstboot/first_boot_steps_test.cc
            firstboot/first_boot_test.cc firstboot/host_certificate_test.cc firstboot/text_template_test.cc
            secrets/binary_formats_test.cc secrets/byte_source_test.cc secrets/patterns_test.cc secrets/places_test.cc
            secrets/scan_test.cc secrets/service_secrets_test.cc secrets/tokens_test.cc
    LINK prebake_identity_firstboot)
# The traps look into the unit files of the source tree.
target_compile_definitions(unit_identity PRIVATE PROJECT_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
