# A node image for EKS (and Karpenter: packaging/karpenter) with container images baked into it.
#
#   packer init eks-al2023.pkr.hcl
#   packer build -var package=prebake-0.1.0-1.x86_64.rpm -var image_list=images.txt eks-al2023.pkr.hcl

packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon"
      version = ">= 1.3.0"
    }
  }
}

variable "package" {
  type        = string
  description = "The .rpm of prebake, a file on this machine."
}

variable "image_list" {
  type        = string
  description = "The image list, a file on this machine: one reference a line, or TOML (prebake.toml(5))."
}

variable "ami_name" {
  type    = string
  default = "eks-al2023-baked"
}

variable "kubernetes_version" {
  type    = string
  default = "1.34"
}

variable "source_ami" {
  type        = string
  default     = ""
  description = "Empty: the newest EKS-optimized image for the version of Kubernetes."
}

variable "region" {
  type    = string
  default = "us-east-1"
}

variable "instance_type" {
  type        = string
  default     = "c7i.xlarge"
  description = "Unpacking takes processors, and network bandwidth comes with size."
}

variable "volume_gib" {
  type        = number
  default     = 40
  description = "Room for the images, compressed and unpacked: prebake plan tells how much."
}

variable "ecr_registry" {
  type        = string
  default     = ""
  description = "ACCOUNT.dkr.ecr.REGION.amazonaws.com, if images come from there."
}

variable "instance_profile" {
  type        = string
  default     = ""
  description = "With AmazonEC2ContainerRegistryReadOnly, for ecr_registry."
}

locals {
  timestamp = formatdate("YYYYMMDDhhmmss", timestamp())
}

source "amazon-ebs" "node" {
  region               = var.region
  instance_type        = var.instance_type
  iam_instance_profile = var.instance_profile
  ami_name             = "${var.ami_name}-${var.kubernetes_version}-${local.timestamp}"
  source_ami           = var.source_ami
  ssh_username         = "ec2-user"

  # Not looked at if source_ami says which.
  source_ami_filter {
    filters = {
      name                = "amazon-eks-node-al2023-x86_64-standard-${var.kubernetes_version}-v*"
      virtualization-type = "hvm"
      root-device-type    = "ebs"
    }
    owners      = ["amazon"]
    most_recent = true
  }

  launch_block_device_mappings {
    device_name           = "/dev/xvda"
    volume_size           = var.volume_gib
    volume_type           = "gp3"
    iops                  = 3000
    throughput            = 500
    delete_on_termination = true
  }

  # Instances of the image ask for IMDSv2, as the builder does.
  imds_support = "v2.0"
  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = "required"
  }

  # What Karpenter's amiSelectorTerms and State Manager's targets look for.
  tags = {
    Name         = var.ami_name
    prebake      = "yes"
    "kubernetes" = var.kubernetes_version
  }
}

build {
  sources = ["source.amazon-ebs.node"]

  provisioner "file" {
    source      = var.package
    destination = "/tmp/prebake.rpm"
  }

  provisioner "file" {
    source      = var.image_list
    destination = "/tmp/images"
  }

  provisioner "shell" {
    inline_shebang = "/bin/bash -eu"
    inline = [
      "sudo dnf install -y /tmp/prebake.rpm",
      # TOML if it says so itself.
      "suffix=txt; ! grep -q '^ *\\[\\[image\\]\\]' /tmp/images || suffix=toml",
      "sudo install -m 644 /tmp/images /etc/prebake/images.d/baked.$suffix",
      # nodeadm configures containerd and starts it, on nodes. A builder has no cluster to be configured for, so
      # it is started with containerd's own defaults: what is stored is the same. The snapshotter and the sandbox
      # image of the node are known when the node boots, and prebake sees to them there.
      "sudo systemctl start containerd",
    ]
  }

  provisioner "shell" {
    inline_shebang   = "/bin/bash -eu"
    environment_vars = ["ECR_REGISTRY=${var.ecr_registry}", "AWS_REGION=${var.region}"]
    inline = [
      # By stdin and a file that is root's alone: a token in an argument would be seen by every process.
      "if [ -n \"$ECR_REGISTRY\" ]; then",
      "  sudo install -d -m 700 /root/.docker",
      "  aws ecr get-login-password --region \"$AWS_REGION\" | python3 -c 'import base64, json, sys; print(json.dumps({\"auths\": {sys.argv[1]: {\"auth\": base64.b64encode((\"AWS:\" + sys.stdin.read().strip()).encode()).decode()}}}))' \"$ECR_REGISTRY\" | sudo sh -c 'umask 077; cat >/root/.docker/config.json'",
      "fi",
      "sudo prebake plan",
      # Fails unless every image was baked.
      "sudo systemctl start prebake-bake || { sudo journalctl -u prebake-bake --no-pager; exit 1; }",
      "sudo prebake verify --deep",
    ]
  }

  # The last one, and all of it in one script: the seal removes the keys that Packer logs in with, so only the
  # connection that is open lives on. Packer stops the instance through the API of EC2, not over SSH.
  provisioner "shell" {
    inline_shebang = "/bin/bash -eu"
    skip_clean     = true
    inline = [
      "sudo prebake seal --yes",
      # Ends with 4, and the build with it, if anything of the builder is left.
      "sudo prebake seal --check",
    ]
  }
}
