"""`benchmarks.accelerator.child` with the parts of `toy_parts`."""

from benchmarks.accelerator import child, plan
from tests.benchmarks.accelerator import toy_parts

if __name__ == '__main__':
    plan.PROFILES = toy_parts.PROFILES
    child.main()
