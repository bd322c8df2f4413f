#!/usr/bin/python3
"""packaging/warm-pool/complete-launch, with a metadata service and an AWS CLI of the test."""

import json
import os
import pathlib
import socket
import subprocess
import tempfile
import unittest

import metadata_service

TOP = pathlib.Path(__file__).resolve().parents[2]
INSTANCE = "i-0123456789abcdef0"
# Answers with what the file named like the command has, and keeps its arguments.
AWS = """#!/bin/bash
echo "$AWS_DEFAULT_REGION $*" >>"$ANSWERS/calls"
cat "$ANSWERS/$2.err" >&2 2>/dev/null
cat "$ANSWERS/$2" 2>/dev/null
"""
DESCRIBED = (f"eu-central-1 autoscaling describe-auto-scaling-instances --instance-ids {INSTANCE} "
             "--query AutoScalingInstances[0].AutoScalingGroupName --output text")
COMPLETED = ("eu-central-1 autoscaling complete-lifecycle-action --auto-scaling-group-name web "
             f"--lifecycle-hook-name launch --instance-id {INSTANCE} "
             "--lifecycle-action-result CONTINUE")


class CompleteLaunchTest(unittest.TestCase):
    def setUp(self):
        self.home = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        (self.home / "aws").write_text(AWS)
        (self.home / "aws").chmod(0o755)
        listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.service = metadata_service.MetadataService(listener, INSTANCE, "node")
        self.addCleanup(self.service.stop)
        self.answer("describe-auto-scaling-instances", "web\n")
        self.answer("complete-lifecycle-action", "")

    def answer(self, command, text):
        (self.home / command).write_text(text)

    def refuse(self, text):
        (self.home / "complete-lifecycle-action").unlink()
        (self.home / "complete-lifecycle-action.err").write_text(text)

    def run_it(self):
        ended = subprocess.run(
            [TOP / "packaging/warm-pool/complete-launch", "launch"], capture_output=True, text=True,
            timeout=60, check=False, env={
                "PATH": f"{self.home}:{os.environ['PATH']}", "ANSWERS": str(self.home),
                "AWS_EC2_METADATA_SERVICE_ENDPOINT": self.endpoint})
        calls = self.home / "calls"
        return ended, calls.read_text().splitlines() if calls.exists() else []

    def test_the_hook_is_completed(self):
        ended, calls = self.run_it()
        self.assertEqual((ended.returncode, calls), (0, [DESCRIBED, COMPLETED]), ended)
        self.assertIn(f"web continues with {INSTANCE}", ended.stdout)
        self.assertEqual(self.service.requests[0], "PUT /latest/api/token")

    def test_a_reboot_waits_for_nothing(self):
        self.refuse("An error occurred (ValidationError) when calling the CompleteLifecycleAction "
                    f"operation: No active Lifecycle Action found with instance ID {INSTANCE}\n")
        ended, calls = self.run_it()
        self.assertEqual((ended.returncode, len(calls)), (0, 2), ended)
        self.assertIn("does not wait", ended.stdout)

    def test_an_instance_of_no_group(self):
        self.answer("describe-auto-scaling-instances", "None\n")
        ended, calls = self.run_it()
        self.assertEqual((ended.returncode, calls), (0, [DESCRIBED]), ended)

    def test_a_refusal_is_a_failure(self):
        self.refuse("An error occurred (AccessDenied)\n")
        ended, _ = self.run_it()
        self.assertEqual(ended.returncode, 1, ended)
        self.assertIn("AccessDenied", ended.stderr)

    def test_no_metadata_is_a_failure(self):
        self.service.behaviour = "throttled"
        ended, calls = self.run_it()
        self.assertNotEqual(ended.returncode, 0, ended)
        self.assertEqual(calls, [])


if __name__ == "__main__":
    unittest.main()
