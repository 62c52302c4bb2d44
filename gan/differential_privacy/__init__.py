"""Differential privacy: noise on the one gradient that real images enter, and what it proves of them.

After Abadi et al. 2016 (arXiv:1607.00133), for GANs Xie et al. 2018 (arXiv:1802.06739) and Bie et al. 2023
(arXiv:2302.02936).
"""
