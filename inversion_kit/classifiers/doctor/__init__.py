"""The doctor: what is wrong with a classifier or its preprocessing, before minutes are spent."""

from inversion_kit.classifiers.doctor.diagnosis import Check, Diagnosis, Trial
from inversion_kit.classifiers.doctor.examine import doctor
from inversion_kit.classifiers.doctor.inputs import read_folder

__all__ = ["Check", "Diagnosis", "Trial", "doctor", "read_folder"]
