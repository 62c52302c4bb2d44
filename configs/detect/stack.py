"""A detector of altered volumes, on top of a finished detector of single images.

    python -m detect.main --config=configs/detect/stack.py --workdir=runs/stack --config.data.name=NAME \
        --config.slices_from=runs/small
    python -m detect.predict --workdir=runs/small --stack=runs/stack SERIES...

NAME is a data set that `detect.prepare` made of volumes and their altered copies (see `detect.tamper`), best the
one that the detector of images was trained on. That detector describes the slices and stays as it is; a recurrent
network with attention learns which volumes were altered. Ends with stack.json: how well it and simpler ways of
pooling the slices' odds tell volumes of test patients apart. Some minutes for 400 volumes on two CPU cores, most
of them for describing slices.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The config."""
    config = ConfigDict()
    config.seed = 0
    config.slices_from = ''  # workdir of the finished detector of images

    config.data = ConfigDict()
    config.data.name = ''  # as given to detect.prepare
    config.data.data_dir = ''  # '': $TFDS_DATA_DIR or ~/tensorflow_datasets
    config.data.sources = ()  # altered volumes of these alone; () all
    config.data.modalities = ()  # only these; () all

    config.stack = ConfigDict()
    config.stack.width = 32  # of the recurrent state in each direction
    config.stack.slices = 64  # that stand for a longer volume, evenly from first to last

    config.optimizer = ConfigDict()  # Adam with decoupled weight decay, warmed up and then cooled along a cosine
    config.optimizer.learning_rate = 1e-3
    config.optimizer.weight_decay = 1e-2
    config.optimizer.warmup = 0.1  # share of all steps

    config.schedule = ConfigDict()
    config.schedule.epochs = 40
    config.schedule.batch_size = 16  # volumes

    config.watch = ConfigDict()
    config.watch.epochs = 1  # between two looks at the validation split

    config.run = ConfigDict()  # what is counted in images elsewhere is counted in volumes here
    config.run.log_images = 200
    config.run.checkpoint_images = 2_000
    config.run.checkpoints_to_keep = 2
    config.run.steps_per_call = 0  # 0: one on CPUs, about 32 on accelerators
    config.run.max_skipped_in_a_row = 50
    return config
