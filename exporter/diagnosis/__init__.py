"""Diagnosis: what a target's observations mean. Pure: values in, values out, no clock."""

from exporter.diagnosis.cause import Cause
from exporter.diagnosis.causes import CAUSES, causes_on
from exporter.diagnosis.diagnose import diagnose
