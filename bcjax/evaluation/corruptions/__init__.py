"""What goes wrong between a smear and its picture, in five severities, on the device.

Corruptions and severities are those of MedMNIST-C's BloodMNIST (Di Salvo et al. 2024,
arXiv:2406.17536; registry of github.com/francescodisalvo05/medmnistc-api), made for pictures of
224 pixels: lengths are shares of that here, so that a picture of any size is blurred alike.
"""
