"""Corruptions: what goes wrong between a smear and its picture, in five severities, on the device.

Corruptions and severities are those of MedMNIST-C's BloodMNIST (Di Salvo et al. 2024,
arXiv:2406.17536; registry of github.com/francescodisalvo05/medmnistc-api). These were made for
pictures of 224 pixels; here lengths are shares of that, so that a picture of any size is blurred
alike.
"""
