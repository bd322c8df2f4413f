#include "agent/identity/items/all.h"

namespace prebake::identity {

Item aws_agents_item() {
    return {
        .name = "aws-agents",
        .order = 920,
        .why =
            "Clones would go on at the builder's places in log streams, and mount EFS with "
            "the builder's key.",
        .back =
            "The agents make it anew: CloudWatch's and CodeDeploy's at their next start, "
            "EFS's key at the next mount.",
        .targets =
            {
                {Target::What::contents, "/opt/aws/amazon-cloudwatch-agent/logs/state"},
                {Target::What::file, "/opt/aws/amazon-cloudwatch-agent/logs/*.log*"},
                {Target::What::file, "/var/lib/awslogs/agent-state"},
                {Target::What::file, "/var/awslogs/state/agent-state"},
                {Target::What::contents, "/opt/codedeploy-agent/deployment-root"},
                {Target::What::file, "/etc/codedeploy-agent/conf/codedeploy.onpremises.yml"},
                {Target::What::file, "/etc/amazon/efs/privateKey.pem"},
            },
    };
}

}  // namespace prebake::identity
