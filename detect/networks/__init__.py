"""Networks that tell synthetic images from real ones, and what they look at."""

from detect.networks.detector import Detection, DetectorNetwork, choose_stages
from detect.networks.inputs import INPUTS
from detect.networks.stack import StackDetector

__all__ = ['INPUTS', 'Detection', 'DetectorNetwork', 'StackDetector', 'choose_stages']
