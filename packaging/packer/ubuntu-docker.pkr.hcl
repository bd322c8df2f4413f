# A Docker host of Ubuntu 24.04 with container images baked into it.
#
#   packer init ubuntu-docker.pkr.hcl
#   packer build -var package=prebake_0.1.0-1_amd64.deb -var image_list=images.txt ubuntu-docker.pkr.hcl

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
  description = "The .deb of prebake, a file on this machine."
}

variable "image_list" {
  type        = string
  description = "The image list, a file on this machine: one reference a line, or TOML (prebake.toml(5))."
}

variable "ami_name" {
  type    = string
  default = "ubuntu-docker-baked"
}

variable "source_ami" {
  type        = string
  default     = ""
  description = "Empty: the newest Ubuntu 24.04 of Canonical."
}

variable "region" {
  type    = string
  default = "us-east-1"
}

variable "instance_type" {
  type    = string
  default = "c7i.xlarge"
}

variable "volume_gib" {
  type        = number
  default     = 40
  description = "Room for the images, compressed and unpacked: prebake plan tells how much."
}

locals {
  timestamp = formatdate("YYYYMMDDhhmmss", timestamp())
}

source "amazon-ebs" "host" {
  region        = var.region
  instance_type = var.instance_type
  ami_name      = "${var.ami_name}-${local.timestamp}"
  source_ami    = var.source_ami
  ssh_username  = "ubuntu"

  # Not looked at if source_ami says which. The owner is Canonical.
  source_ami_filter {
    filters = {
      name                = "ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-*"
      virtualization-type = "hvm"
      root-device-type    = "ebs"
    }
    owners      = ["099720109477"]
    most_recent = true
  }

  launch_block_device_mappings {
    device_name           = "/dev/sda1"
    volume_size           = var.volume_gib
    volume_type           = "gp3"
    iops                  = 3000
    throughput            = 500
    delete_on_termination = true
  }

  imds_support = "v2.0"
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

  provisioner "file" {
    source      = var.package
    destination = "/tmp/prebake.deb"
  }

  provisioner "file" {
    source      = var.image_list
    destination = "/tmp/images"
  }

  provisioner "shell" {
    inline_shebang = "/bin/bash -eu"
    inline = [
      "cloud-init status --wait || true", # it may be installing packages, too
      "sudo apt-get -qq update",
      "sudo DEBIAN_FRONTEND=noninteractive apt-get -qq -y install docker.io /tmp/prebake.deb",
      # Docker keeps images in containerd, in its namespace "moby", if it is told to. Its other store is its own.
      "echo '{\"features\": {\"containerd-snapshotter\": true}}' | sudo tee /etc/docker/daemon.json",
      "sudo systemctl restart docker",
      "printf '[containerd]\\nnamespaces = [\"moby\"]\\n' | sudo tee /etc/prebake/conf.d/docker.toml",
      "suffix=txt; ! grep -q '^ *\\[\\[image\\]\\]' /tmp/images || suffix=toml",
      "sudo install -m 644 /tmp/images /etc/prebake/images.d/baked.$suffix",
      # Docker starts containers when the images are usable, or when readiness.deadline has passed.
      "sudo systemctl add-wants docker.service prebake-ready.target",
    ]
  }

  provisioner "shell" {
    inline_shebang = "/bin/bash -eu"
    inline = [
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
