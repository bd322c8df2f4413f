# An EKS node image (Amazon Linux 2023) with container images baked in:
#
#   packer init eks-al2023.pkr.hcl
#   packer build -var image_list=images.txt -var ami_name=eks-baked-1 \
#       -var package=prebake-0.1.0-1.x86_64.rpm eks-al2023.pkr.hcl

packer {
  required_plugins {
    amazon = {
      version = ">= 1.3.0"
      source  = "github.com/hashicorp/amazon"
    }
  }
}

variable "image_list" {
  type        = string
  description = "File with the images to bake: one reference a line, or TOML."
}

variable "package" {
  type        = string
  description = "The rpm of prebake."
}

variable "ami_name" {
  type        = string
  description = "Name of the image that is made. EC2 wants it to be new."
}

variable "kubernetes_version" {
  type        = string
  description = "Of the cluster; chooses the newest EKS image to begin with."
  default     = "1.33"
}

variable "source_ami" {
  type        = string
  description = "Id of the image to begin with, in place of the newest one."
  default     = ""
}

variable "region" {
  type    = string
  default = "eu-west-1"
}

variable "instance_type" {
  type        = string
  description = "Of the builder. Its architecture must be that of the nodes and of the package."
  default     = "m6i.xlarge"
}

variable "volume_size" {
  type        = number
  description = "GiB of the root volume. `prebake plan` says what the images need."
  default     = 60
}

variable "instance_profile" {
  type        = string
  description = "Instance profile that may read the ECR registries below. Empty: none."
  default     = ""
}

variable "ecr_registries" {
  type        = list(string)
  description = "Hosts of private ECR registries to log in to (ACCOUNT.dkr.ecr.REGION.amazonaws.com)."
  default     = []
}

source "amazon-ebs" "node" {
  region        = var.region
  instance_type = var.instance_type
  ami_name      = var.ami_name
  ssh_username  = "ec2-user"

  iam_instance_profile = var.instance_profile

  source_ami = var.source_ami
  dynamic "source_ami_filter" {
    for_each = var.source_ami == "" ? ["newest"] : []
    content {
      # The account that EKS publishes its images from.
      owners      = ["602401143452"]
      most_recent = true
      filters = {
        name                = "amazon-eks-node-al2023-x86_64-standard-${var.kubernetes_version}-*"
        root-device-type    = "ebs"
        virtualization-type = "hvm"
      }
    }
  }

  launch_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_type           = "gp3"
    volume_size           = var.volume_size
    iops                  = 3000
    throughput            = 250
    delete_on_termination = true
  }

  # The builder's metadata holds credentials of its instance profile.
  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = "required"
  }

  # What packaging/karpenter selects by.
  tags = {
    Name               = var.ami_name
    prebake            = "yes"
    kubernetes-version = var.kubernetes_version
  }
}

build {
  sources = ["source.amazon-ebs.node"]

  # Seal takes away what lies in /tmp.
  provisioner "file" {
    source      = var.package
    destination = "/tmp/prebake.rpm"
  }

  provisioner "file" {
    source      = var.image_list
    destination = "/tmp/${basename(var.image_list)}"
  }

  provisioner "shell" {
    # Root's own home, where prebake looks for the credentials of registries.
    execute_command = "chmod +x '{{ .Path }}'; sudo -H env {{ .Vars }} '{{ .Path }}'"
    environment_vars = [
      "IMAGE_LIST=${basename(var.image_list)}",
      "ECR_REGISTRIES=${join(" ", var.ecr_registries)}",
    ]
    inline_shebang = "/bin/bash -e"
    inline = [
      "set -uo pipefail",
      # sshd is there before cloud-init has ended, and what it still writes would be there after the seal.
      # 2: done, with warnings.
      "cloud-init status --wait || test $? -eq 2",

      "dnf -y install /tmp/prebake.rpm",
      "install -m 0644 \"/tmp/$IMAGE_LIST\" /etc/prebake/images.d/",

      # On a node nodeadm writes containerd's configuration and starts it. A builder is in no cluster, so
      # nodeadm does neither. What containerd has built in will do for the bake: the store is the same
      # /var/lib/containerd, and with which snapshotter and sandbox image CRI will run is known on the
      # node only, where the daemon puts right what differs.
      "systemctl start containerd.service",

      # Passwords of ECR hold for 12 hours. They are kept in memory alone; the configuration that the image
      # came with is left as it is.
      "if [ -n \"$ECR_REGISTRIES\" ]; then",
      "  auths=",
      "  for registry in $ECR_REGISTRIES; do",
      "    region=$(echo \"$registry\" | cut -d. -f4)",
      "    auth=$(aws ecr get-login-password --region \"$region\" | sed 's/^/AWS:/' | tr -d '\\n' | base64 -w0)",
      "    auths=\"$auths$${auths:+,}\\\"$registry\\\":{\\\"auth\\\":\\\"$auth\\\"}\"",
      "  done",
      "  export DOCKER_CONFIG=/run/prebake-login",
      "  (umask 077; mkdir \"$DOCKER_CONFIG\"; echo \"{\\\"auths\\\":{$auths}}\" >\"$DOCKER_CONFIG/config.json\")",
      "fi",

      "prebake plan",
      "prebake bake --progress=plain",
      "prebake verify --deep",
    ]
  }

  # The last provisioner. Seal removes authorized_keys, so that nobody can log in any more: the
  # connection that is open lives on, a new one would be refused. What is to be done after the seal must
  # therefore stand in this script. Nor may sudo be called in between: it writes to the logs, and the rule that
  # allows it has been removed, too. With ssh_interface = "session_manager" the SSM agent, which seal stops, is
  # the connection: then let the script be "prebake seal --at-shutdown" alone.
  provisioner "shell" {
    execute_command = "chmod +x '{{ .Path }}'; sudo env {{ .Vars }} '{{ .Path }}'"
    inline_shebang  = "/bin/bash -e"
    inline = [
      "prebake seal --yes",
      # Ends with 4, and so ends the build, if anything of the builder is left.
      "prebake seal --check",
    ]
    # It lay in /tmp and is gone.
    skip_clean = true
  }
}
