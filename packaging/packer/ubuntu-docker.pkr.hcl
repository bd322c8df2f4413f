# An Ubuntu image for Docker hosts, with container images baked into Docker's store:
#
#   packer init ubuntu-docker.pkr.hcl
#   packer build -var image_list=images.txt -var ami_name=docker-baked-1 \
#       -var package=prebake_0.1.0-1_amd64.deb -var package_sha256="$SHA256" \
#       ubuntu-docker.pkr.hcl

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
  description = "The .deb of prebake."
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
  description = "ID of the parent image, instead of the newest Ubuntu 24.04."
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
  default     = 40
}

variable "record" {
  type        = list(string)
  description = "Images of the list to run on the builder for 60 s each, without a network: nodes read first what these read. An image that fails, fails the build."
  default     = []
}

source "amazon-ebs" "host" {
  region        = var.region
  instance_type = var.instance_type
  ami_name      = var.ami_name
  ssh_username  = "ubuntu"

  source_ami = var.source_ami
  dynamic "source_ami_filter" {
    for_each = var.source_ami == "" ? ["newest"] : []
    content {
      # Canonical's account.
      owners      = ["099720109477"]
      most_recent = true
      filters = {
        name                = "ubuntu/images/hvm-ssd*/ubuntu-noble-24.04-amd64-server-*"
        root-device-type    = "ebs"
        virtualization-type = "hvm"
      }
    }
  }

  launch_block_device_mappings {
    device_name           = "/dev/sda1"
    volume_type           = "gp3"
    volume_size           = var.volume_size
    iops                  = 3000
    throughput            = 250
    delete_on_termination = true
  }

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

  # Files are uploaded here: only ubuntu and root can write to it, unlike /tmp, where another user
  # could put a file of the same name first. /run is no part of the image.
  provisioner "shell" {
    # In the home directory of ubuntu.
    remote_folder   = "."
    execute_command = "bash '{{ .Path }}'"
    inline          = ["sudo install -d -m 0700 -o \"$(id -u)\" /run/prebake-build"]
  }

  provisioner "file" {
    source      = var.package
    destination = "/run/prebake-build/prebake.deb"
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
      "DEBIAN_FRONTEND=noninteractive",
    ]
    inline = [
      # cloud-init still writes apt's sources and other files after sshd has started. 2: done, with
      # warnings.
      "cloud-init status --wait || test $? -eq 2",

      # Docker keeps its images in containerd, where prebake writes them itself. Without this dockerd
      # pulls them into its graph driver, which takes longer. It is written before Docker starts for
      # the first time: images do not move from one store to the other.
      "install -d /etc/docker",
      "echo '{\"features\": {\"containerd-snapshotter\": true}}' >/etc/docker/daemon.json",
      "echo \"$PACKAGE_SHA256  /run/prebake-build/prebake.deb\" | sha256sum --check --strict --quiet",
      "apt-get -q -o DPkg::Lock::Timeout=300 update",
      "apt-get -q -y -o DPkg::Lock::Timeout=300 install docker.io /run/prebake-build/prebake.deb",

      # Docker's namespace, for lists that set none and for the daemon on the hosts.
      "printf '[containerd]\\nnamespaces = [\"moby\"]\\n' >/etc/prebake/conf.d/docker.toml",
      "install -m 0644 \"/run/prebake-build/$IMAGE_LIST\" /etc/prebake/images.d/",

      "prebake plan",
      "prebake bake --progress=plain",
      # Without a network. The second bake fetches nothing: it plans with what was recorded.
      "for image in $RECORD; do prebake record --for 60s \"$image\"; done",
      "[ -z \"$RECORD\" ] || prebake bake --progress=plain",
      "prebake verify --deep",
      # For the build log: the images that Docker has now.
      "docker image ls --digests",

      # On the hosts, delay what uses Docker until the images are usable, never Docker itself. Such a
      # unit also needs After=docker.service prebake-ready.target.
      #   "systemctl add-wants UNIT prebake-ready.target",
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
