"""Diagnosis: what a target's observations mean. Pure: values in, values out, no clock."""

from exporter.diagnosis.causes import CAUSES, Cause
from exporter.diagnosis.diagnose import diagnose
from exporter.diagnosis.rules import RULES, Rule

__all__ = ["CAUSES", "RULES", "Cause", "Rule", "diagnose"]
