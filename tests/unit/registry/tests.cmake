prebake_unit_tests(registry
    SOURCES authorizer_test.cc base64_test.cc blob_source_test.cc challenge_test.cc docker_config_test.cc
            endpoint_test.cc http_beast_test.cc http_test.cc http_tls_test.cc remote_test.cc retry_test.cc
            status_test.cc token_test.cc transport_test.cc url_test.cc)
