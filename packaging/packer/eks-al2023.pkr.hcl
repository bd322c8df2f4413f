# An EKS node image (Amazon Linux 2023) with container images baked in:
#
#   packer init eks-al2023.pkr.hcl
#   packer build -var image_list=images.txt -var ami_name=eks-baked-1 \
#       -var package=prebake-0.1.0-1.x86_64.rpm -var package_sha256="$SHA256" \
#       eks-al2023.pkr.hcl

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

variable "kubernetes_version" {
  type        = string
  description = "Version of the cluster. Selects the newest EKS image as the parent image."
  default     = "1.33"
}

variable "source_ami" {
  type        = string
  description = "ID of the parent image, instead of the newest EKS image."
  default     = ""
}

variable "region" {
  type    = string
  default = "eu-west-1"
}

variable "instance_type" {
  type        = string
  description = "Type of the builder. Its architecture must match the nodes and the package."
  default     = "m6i.xlarge"
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

variable "record" {
  type        = list(string)
  description = "Images of the list to run on the builder for 60 s each, without a network: nodes read first what these read. An image that fails, fails the build."
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
      # The account that publishes the EKS images.
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

  # The metadata service returns credentials of the instance profile.
  metadata_options {
    http_endpoint = "enabled"
    http_tokens   = "required"
  }

  # packaging/karpenter selects images by these tags.
  tags = {
    Name               = var.ami_name
    prebake            = "yes"
    kubernetes-version = var.kubernetes_version
  }
}

build {
  sources = ["source.amazon-ebs.node"]

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
      "RECORD=${join(" ", var.record)}",
    ]
    inline = [
      "set -uo pipefail",
      # sshd starts before cloud-init ends, and files that cloud-init writes after the seal would
      # stay. 2: done, with warnings.
      "cloud-init status --wait || test $? -eq 2",

      "echo \"$PACKAGE_SHA256  /run/prebake-build/prebake.rpm\" | sha256sum --check --strict --quiet",
      "dnf -y install /run/prebake-build/prebake.rpm",
      "install -m 0644 \"/run/prebake-build/$IMAGE_LIST\" /etc/prebake/images.d/",

      # On a node nodeadm writes containerd's configuration and starts it. A builder is not in a
      # cluster, so nodeadm does neither. containerd's defaults are enough for the bake: the store
      # is the same /var/lib/containerd. Only the node knows the snapshotter and the sandbox image
      # of CRI; the daemon repairs there what differs.
      "systemctl start containerd.service",

      # Images in ECR: the builder's instance profile gets the credentials, by the provider of the
      # kubelet that this parent image has. For other registries, forward a login of this machine:
      # `prebake bake --authfile -` reads it from standard input, so it is in no file, argument or
      # variable of the builder. A shell-local provisioner can do that: ssh -i KEY ec2-user@HOST
      # sudo prebake bake --authfile - -f LIST <auth.json (Packer's build.Host and
      # build.SSHPrivateKey).
      # The parent image has the sandbox image that nodeadm configures on the node. The builder's
      # containerd names another one, which no node needs.
      "install -d /etc/prebake/conf.d",
      "printf '[bake]\\nsandbox = \"never\"\\n' >/etc/prebake/conf.d/90-builder.toml",
      "prebake plan",
      "prebake bake --progress=plain",
      # Without a network. The second bake fetches nothing: it plans with what was recorded.
      "for image in $RECORD; do prebake record --for 60s \"$image\"; done",
      "[ -z \"$RECORD\" ] || prebake bake --progress=plain",
      "prebake verify --deep",
      "rm /etc/prebake/conf.d/90-builder.toml",
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
