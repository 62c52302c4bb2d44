"""Networks that tell synthetic images from real ones, and what they look at."""

from detect.networks.detector import Detection, Detector, choose_stages
from detect.networks.inputs import INPUTS
from detect.networks.stack import StackDetector

__all__ = ['INPUTS', 'Detection', 'Detector', 'StackDetector', 'choose_stages']
