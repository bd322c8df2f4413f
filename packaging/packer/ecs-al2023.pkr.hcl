# An ECS-optimized image (Amazon Linux 2023) with container images baked into Docker's store:
#
#   packer init ecs-al2023.pkr.hcl
#   packer build -var image_list=images.txt -var ami_name=ecs-baked-1 \
#       -var package=prebake-0.1.0-1.x86_64.rpm -var package_sha256="$SHA256" \
#       ecs-al2023.pkr.hcl
#
# User data of the instances has to append to the agent's configuration (>>), not replace it (>):
#
#   echo ECS_CLUSTER=web >>/etc/ecs/ecs.config

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
  description = "File with the images to bake: one reference per line, or TOML."
}

variable "package" {
  type        = string
  description = "The .rpm of prebake."
}

variable "package_sha256" {
  type        = string
  description = "SHA-256 of the package, as its publisher names it."
}

variable "ami_name" {
  type        = string
  description = "Name of the new image. It must not exist in EC2 yet."
}

variable "source_ami" {
  type        = string
  description = "ID of the parent image, instead of the newest ECS-optimized image."
  default     = ""
}

variable "region" {
  type    = string
  default = "eu-west-1"
}

variable "instance_type" {
  type        = string
  description = "Type of the builder. Its architecture must match the hosts and the package."
  default     = "m6i.large"
}

variable "volume_size" {
  type        = number
  description = "Size of the root volume in GiB. `prebake plan` shows what the images need."
  default     = 60
}

variable "instance_profile" {
  type        = string
  description = "Instance profile that may read the ECR registries of the images (AmazonEC2ContainerRegistryPullOnly). Empty: none."
  default     = ""
}

source "amazon-ebs" "host" {
  region        = var.region
  instance_type = var.instance_type
  ami_name      = var.ami_name
  ssh_username  = "ec2-user"

  iam_instance_profile = var.instance_profile

  source_ami = var.source_ami
  dynamic "source_ami_filter" {
    for_each = var.source_ami == "" ? ["newest"] : []
    content {
      owners      = ["amazon"]
      most_recent = true
      filters = {
        name                = "al2023-ami-ecs-hvm-*-kernel-*-x86_64"
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

  # The metadata service returns credentials of the instance profile.
  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = "required"
  }

  tags = {
    Name    = var.ami_name
    prebake = "yes"
  }
}

build {
  sources = ["source.amazon-ebs.host"]

  # Files are uploaded here: only ec2-user and root can write to it, unlike /tmp, where another user
  # could put a file of the same name first. /run is no part of the image.
  provisioner "shell" {
    # In the home directory of ec2-user.
    remote_folder   = "."
    execute_command = "bash '{{ .Path }}'"
    inline          = ["sudo install -d -m 0700 -o \"$(id -u)\" /run/prebake-build"]
  }

  provisioner "file" {
    source      = var.package
    destination = "/run/prebake-build/prebake.rpm"
  }

  provisioner "file" {
    source      = var.image_list
    destination = "/run/prebake-build/${basename(var.image_list)}"
  }

  provisioner "shell" {
    remote_folder = "/run/prebake-build"
    # -H: prebake searches for the credentials of registries in root's home. With the interpreter:
    # some distributions mount /run with noexec.
    execute_command = "sudo -H env {{ .Vars }} bash -e '{{ .Path }}'"
    environment_vars = [
      "IMAGE_LIST=${basename(var.image_list)}",
      "PACKAGE_SHA256=${var.package_sha256}",
    ]
    inline = [
      "set -uo pipefail",
      # sshd starts before cloud-init ends, and files that cloud-init writes after the seal would
      # stay. 2: done, with warnings.
      "cloud-init status --wait || test $? -eq 2",

      # The parent image starts the ECS agent after cloud-init. On a builder with a role that allows
      # it, the agent would register the builder in a cluster and run tasks on it.
      "systemctl stop ecs.service",

      "echo \"$PACKAGE_SHA256  /run/prebake-build/prebake.rpm\" | sha256sum --check --strict --quiet",
      "dnf -y install /run/prebake-build/prebake.rpm",

      # Docker's images, for lists that set no namespace and for the daemon on the hosts.
      "printf '[containerd]\\nnamespaces = [\"moby\"]\\n' >/etc/prebake/conf.d/docker.toml",
      "install -m 0644 \"/run/prebake-build/$IMAGE_LIST\" /etc/prebake/images.d/",
      "systemctl start docker.service",

      # Images in ECR: the builder's instance profile gets the credentials, by
      # docker-credential-ecr-login, which the package recommends. For other registries, forward a
      # login of this machine: `prebake bake --authfile -` reads it from standard input, so it is in
      # no file, argument or variable of the builder. A shell-local provisioner can do that: ssh -i
      # KEY ec2-user@HOST sudo prebake bake --authfile - -f LIST <auth.json (Packer's build.Host and
      # build.SSHPrivateKey).
      # No `prebake record` here: it runs images that are in containerd, and this Docker has a graph
      # driver. Traces of the same images from another machine count: install them in
      # /etc/prebake/traces.d before the bake.
      "prebake plan",
      "prebake bake --progress=plain",
      "prebake verify --deep",
      # For the build log: the images that Docker has now.
      "docker image ls --digests",

      # Otherwise the agent asks the registry for every task. With these settings it removes no
      # image: `prebake ecs-config` prints all consequences.
      "prebake ecs-config --write",
      # Exits with 4, which fails the build, if a setting makes the agent pull or remove the images.
      "prebake ecs-config --check",
    ]
  }

  # The last provisioner. The seal removes authorized_keys: the open connection stays, but a new
  # login fails. Everything after the seal must be in this script. Do not call sudo after the seal:
  # it writes to the logs, and the rule that allows it is removed. With ssh_interface =
  # "session_manager" the connection needs the SSM agent, which the seal stops: then use only
  # "prebake seal --at-shutdown" in this script.
  provisioner "shell" {
    remote_folder   = "/run/prebake-build"
    execute_command = "sudo env {{ .Vars }} bash -e '{{ .Path }}'"
    inline = [
      "prebake seal --yes",
      # Exits with 4, which fails the build, if anything of the builder is left.
      "prebake seal --check",
    ]
    # The script is not on the disk.
    skip_clean = true
  }
}
