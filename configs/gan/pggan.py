"""PGGAN at 256x256, with the constants of the official implementation (Karras et al. 2018, arXiv:1710.10196).

Every field of a GAN config is here, with its default; other configs change what they name.

    python -m gan.main --config=configs/gan/pggan.py --workdir=runs/pggan --config.data.name=NAME

For one accelerator. A schedule of 7.8 million images; expect days on one GPU, and not to finish on a CPU
(`quickstart.py` does).
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """PGGAN's config, and the defaults of all others."""
    config = ConfigDict()
    config.seed = 0
    config.architecture = 'progressive'  # progressive, dcgan or residual; each has networks with fields of its own
    config.resolution = 256  # final height and width, a power of two from 4 to 1024
    config.channels = 1  # of the images: 1 grey, 3 colour
    config.mask_classes = 0  # foreground classes of the masks to model with the images; 0: no masks
    config.conditional = False  # on the data set's classes
    config.compute_dtype = 'auto'  # float32, bfloat16, or auto: bfloat16 on accelerators

    config.data = ConfigDict()
    config.data.name = 'phantom'  # as given to input_pipeline.prepare; phantoms are drawn when missing
    config.data.data_dir = ''  # '': $TFDS_DATA_DIR or ~/tensorflow_datasets
    config.data.split = 'train'
    config.data.modalities = ()  # only these; () all
    config.data.classes = ()  # only these; () all
    config.data.window = 'auto'  # what becomes [-1, 1]: stored, volume, dataset, physical, or auto by depth
    config.data.window_range = (0.0, 0.0)  # low and high, for window = 'physical'
    config.data.fit = 'pad'  # images that are not square: pad or crop (aspect kept), or resize
    config.data.flip_horizontal = False  # anatomy is not symmetric
    config.data.flip_vertical = False
    config.data.host_memory_gib = 8.0  # decoded images are kept in host memory up to this size
    config.data.device_memory_gib = 4.0  # and on the device up to this
    config.data.phantom = ConfigDict()  # for data.name = 'phantom...'
    config.data.phantom.count = 2000
    config.data.phantom.size = 256
    config.data.phantom.modalities = ('CT', 'MR', 'DX')
    config.data.phantom.seed = 0
    config.data.phantom.images_per_patient = 2

    config.generator = ConfigDict()
    config.generator.latent_size = 512
    config.generator.latent_distribution = 'normal'  # or uniform
    config.generator.fmap_base = 8192
    config.generator.fmap_max = 512
    config.generator.pixel_norm = True
    config.generator.attention_resolution = 0  # before this block, or the last of smaller networks; 0 nowhere
    config.generator.attention_chunk = 0  # rows of the score matrix held at a time; 0 all

    config.discriminator = ConfigDict()
    config.discriminator.fmap_base = 8192
    config.discriminator.fmap_max = 512
    config.discriminator.condition = 'projection'  # where classes are modelled; or auxiliary, a classifier
    config.discriminator.spectral_norm = False
    config.discriminator.stddev_group = 4
    config.discriminator.attention_resolution = 0
    config.discriminator.attention_chunk = 0

    config.loss = ConfigDict()
    config.loss.name = 'wasserstein'  # wasserstein, hinge or non_saturating
    config.loss.penalty = 'gradient'  # gradient (WGAN-GP), zero_centred (R1) or none
    config.loss.penalty_weight = 10.0
    config.loss.penalty_target = 1.0
    config.loss.penalty_every = 1  # steps; the penalty is as many times stronger
    config.loss.drift_weight = 0.001
    config.loss.class_weight = 1.0  # of the auxiliary classifier's cross-entropy
    config.loss.label_smoothing = 0.0  # one-sided; for non_saturating
    config.loss.label_noise = 0.0  # share of labels that are exchanged for the discriminator
    config.loss.input_noise = 0.0  # standard deviation of noise on what the discriminator sees
    config.loss.joint_batches = False  # real and fake images in one batch, for batch normalization

    config.optimizer = ConfigDict()  # Adam
    config.optimizer.generator_learning_rate = 1e-3
    config.optimizer.discriminator_learning_rate = 1e-3
    config.optimizer.discriminator_steps = 1  # for each of the generator
    config.optimizer.b1 = 0.0
    config.optimizer.b2 = 0.99
    config.optimizer.eps = 1e-8

    config.average = ConfigDict()  # running mean of the generator
    config.average.half_life = 10_000.0  # images
    config.average.ramp = 0.0  # at most this share of the images seen; 0 no limit

    config.augment = ConfigDict()  # of all images that the discriminator sees
    # Of flip, translation, rotation, scaling, brightness, contrast, gamma, noise, cutout:
    config.augment.operations = ()
    config.augment.probability = 0.0  # of each operation; where adaptive, at the start
    config.augment.adaptive = False  # ADA: the probability follows how sure the discriminator is of real images
    config.augment.target = 0.6  # mean sign of the logits of real images that ADA holds
    config.augment.every = 4  # batches between two changes
    config.augment.images = 500_000  # in which the probability can go from 0 to 1

    config.start_from = ConfigDict()  # transfer: layers of the same name and shape are copied from another run
    config.start_from.workdir = ''
    config.start_from.generator = True
    config.start_from.discriminator = True

    config.schedule = ConfigDict()  # in images
    config.schedule.initial_resolution = 4  # 0: the final one, for networks that do not grow
    config.schedule.batch_size = {
        'at_4': 128, 'at_8': 128, 'at_16': 128, 'at_32': 64, 'at_64': 32,
        'at_128': 16, 'at_256': 8, 'at_512': 4, 'at_1024': 4,
    }  # fmt: skip
    config.schedule.fade_images = 600_000  # at all resolutions, or in a config by each, as the batch sizes are
    config.schedule.stable_images = 600_000
    config.schedule.final_images = 0  # more for the last stage
    config.schedule.final_epochs = 0  # and more, in passes over the data

    config.watch = ConfigDict()  # an inexpensive distance of samples to real images; see gan.watch
    config.watch.images = 50_000  # between two looks; 0 never
    config.watch.samples = 1_000  # images to look at
    config.watch.on_collapse = 'go_on'  # or stop, or roll_back to the best checkpoint
    config.watch.collapse_ratio = 4.0  # a distance so many times the best one is a collapse

    config.samples = ConfigDict()
    config.samples.rows = 6
    config.samples.columns = 8

    config.run = ConfigDict()
    config.run.log_images = 5_000
    config.run.sample_images = 50_000
    config.run.checkpoint_images = 100_000
    config.run.checkpoints_to_keep = 3
    config.run.steps_per_call = 0  # 0: one on CPUs, about 32 on accelerators
    config.run.max_skipped_in_a_row = 50
    return config
