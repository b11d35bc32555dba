"""The table of configuration: every key once, with all that is known about it.

The config tree, the checks of its values, the differences that stop a resumed run, the suggestions
for a mistyped key and the page docs/configuration.md all come from `KEYS`.

How "nothing" is written:

- `None` means "not set": somebody else decides, such as the weights, the network, the data or the
  machine. The line of the key says who. On the command line it is written `none`.
- `0`, `0.0` and `"0 steps"` mean "off" where zero is an honest number: no warm-up, no patience, no
  clipping, no label smoothing, no weight average.
- `()` is a list with nothing on it: no augmentation, no class left out.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

from bcjax.config.key import (
    BYTE,
    FRACTION,
    POSITIVE,
    POSITIVE_SHARE,
    SHARE,
    Key,
    Kind,
    Range,
    at_least,
)


def _key(default: Any, meaning: str, kind: Kind | None = None, **more: Any) -> Key:
    """Makes a row of the table; the kind is that of the default, where that says it.

    A default of None makes the key optional. `also` is written as words in one text.
    """
    kinds: dict[type, Kind] = {bool: "bool", int: "int", float: "float", str: "text"}
    more["also"] = tuple(more.get("also", "").split())
    optional = default is None
    return Key(default, meaning, kind or kinds[type(default)], optional=optional, **more)


def _length(default: str, meaning: str, *, may_be_0: bool = False, **more: Any) -> Key:
    bounds = at_least(0) if may_be_0 else POSITIVE
    return _key(default, meaning, "length", range=bounds, **more)


def _colour(default: tuple[int, int, int], meaning: str) -> Key:
    return _key(default, meaning, "ints", range=BYTE, size=3)


SCHEDULES = ("constant", "cosine", "step", "exponential", "linear")
METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auc", "log_loss")
SPLITS = ("train", "val", "test")

_RUN = {
    "seed": _key(
        0, "The seed of all random numbers: first weights, order, augmentation.",
        range=at_least(0), also="random_seed random_state manual_seed",
    ),
    "workdir": _key(
        None, "The folder that the run is written to; not set: runs/<name of the config file>.",
        "text", may_change=True,
        also="output output_dir outdir out_dir logdir log_dir save_dir work_dir run_dir",
    ),
    "imports": _key(
        (), 'Modules of your own that register networks, losses, ...: ("my_cells.networks",).',
        "texts", may_change=True, also="plugins custom_imports user_dir modules",
    ),
}  # fmt: skip

_DATA = {
    "source": _key(
        "synthetic",
        'The pictures: a folder, .csv, .npz, TFDS name, prepared set, or "synthetic".',
        also="dataset data_dir data_path root train_dir",
    ),
    "classes": _key(
        None, "The names of the classes and their order; not set: as found in the data.", "texts",
        also="class_names class_list num_classes nc n_classes names labels class_map",
    ),
    "image_size": _key(
        96, "The side of the square to which each picture is resized when it is decoded.",
        range=at_least(8), unit="pixels",
        also="img_size imgsz input_size size resolution image_dim target_size input_shape "
        "crop_size",
    ),
    "resize": _key(
        None,
        "How a picture becomes a square: squash all of it, crop its middle, or pad it; not set: "
        "as the weights want, or squash.",
        "text", choices=("squash", "crop", "pad"),
        also="crop_mode resize_mode crop_to_aspect_ratio pad_to_aspect_ratio letterbox",
    ),
    "crop_fraction": _key(
        None,
        'The share of the shorter side that "crop" leaves; not set: as the weights want, or 1.',
        "float", range=POSITIVE_SHARE, also="crop_pct crop_ratio",
    ),
    "val_fraction": _key(
        0.15, "The share of the pictures for validation, where the source names no such split.",
        range=FRACTION, also="validation_split val_split val_size valid_fraction",
    ),
    "test_fraction": _key(
        0.15, "The share of the pictures for testing, where the source names no such split.",
        range=FRACTION, also="test_split test_size",
    ),
    "split_seed": _key(
        0, "The seed that decides which picture goes into which split.", also="split_random_state",
    ),
    "folds": _key(
        0, "The folds of cross-validation into which all but the test split is cut; 0: none.",
        range=at_least(0), also="n_splits num_folds k_folds kfold cv",
    ),
    "fold": _key(
        0, "The fold that is the validation split, counted from 0.", range=at_least(0),
        also="fold_index",
    ),
    "resplit": _key(False, "Splits the pictures anew although the source names splits."),
    "boxes": _key(
        None,
        "crop: makes one picture of each boxed white cell; not set: the pictures as they are.",
        "text",
        also="crop_boxes bbox bounding_boxes",
    ),
    "fine_labels": _key(
        False, "PBC: takes the sub-types in the file names (BNE, SNE, MMY, ...) as classes.",
    ),
    "max_pixels": _key(
        100_000_000,
        "The most pixels that a picture may have; larger ones are refused before they are decoded.",
        range=Range(1, 1 << 30), unit="pixels", may_change=True,
        also="max_image_pixels max_image_size",
    ),
    "on_bad_image": _key(
        "error", "What to do with a picture that cannot be read.", choices=("error", "skip"),
    ),
    "on_unlabelled": _key(
        "error", "What to do with rows that name no class, or several.", choices=("error", "drop"),
    ),
    "exclude": _key(
        (), 'Ids of pictures to leave out, or patterns such as "*/blurred_*".', "texts",
        also="ignore exclude_files",
    ),
    "drop_classes": _key((), "Classes to leave out.", "texts", also="exclude_classes"),
    "keep": _key(
        (), 'The share of a class that stays, such as ("NEUTROPHIL=0.9",).', "texts",
        also="subsample class_fraction",
    ),
    "drop": _key(
        (), "Findings to leave out: conflicts, copies, duplicates, blank, tiny, odd, grey.",
        "texts", also="clean deduplicate remove_duplicates",
    ),
    "max_copies": _key(20, "A picture with more exact copies than this is not taken for a cell."),
    "group_by": _key(
        None,
        "What must stay in one split: column:NAME, regex:PATTERN, hash or copies; not set: as the "
        "source says.",
        "text", also="groups group_column patient_id stratify_group",
    ),
    "allow_leaks": _key(
        False, "Goes on although a split leaks; the results will say so.",
    ),
    "canary": _key(False, "Scores a model that sees only colours on the split."),
    "pad_colour": _colour((0, 0, 0), 'The colour (red, green, blue) around what "pad" makes fit.'),
    "grey": _key(
        False, "Drops the colour when a picture is decoded.", also="grayscale gray greyscale",
    ),
    "mask": _key(
        False, "Paints over all but the largest stained cell when a picture is decoded.",
        also="segment segmentation",
    ),
    "mask_low": _colour(
        (150, 36, 40), "The least (hue, saturation, value) of a stained pixel, each 0 to 255.",
    ),
    "mask_high": _colour((244, 255, 255), "The most (hue, saturation, value) of a stained pixel."),
    "mask_background": _colour((255, 255, 255), "The colour that the mask paints."),
    "stain": _key(
        None,
        "Normalises the stain when a picture is decoded, by this method; not set: leaves it.",
        "text",
        choices=("reinhard", "macenko"), also="stain_normalization stain_normalisation",
    ),
    "stain_reference": _key(
        None,
        "The picture whose stain all others are given; not set: the one of the method's paper.",
        "text", also="stain_target target_image",
    ),
    "store": _key(
        "auto", "Where decoded pictures live; auto: the fastest place that they fit into.",
        choices=("auto", "disk", "host", "device"), may_change=True, also="cache cache_images",
    ),
    "synthetic_images": _key(
        2400, "The number of drawings in the synthetic source.", range=at_least(8), unit="pictures",
        also="num_samples samples",
    ),
    "cache_dir": _key(
        None, "The folder of prepared sets; not set: $BCJAX_CACHE, or ~/.cache/bcjax.", "text",
        may_change=True, also="cache_folder",
    ),
    "tfds_dir": _key(
        None, "The folder where TFDS keeps its data; not set: TFDS's own default.", "text",
        also="tfds_data_dir",
    ),
    "threads": _key(
        None, "Threads that decode pictures; not set: one for each core.", "int",
        range=at_least(1), may_change=True, also="num_threads decode_threads",
    ),
    "workers": _key(
        0, "Processes that decode pictures for the disk store; 0: threads only.",
        range=at_least(0), may_change=True, also="num_workers dataloader_workers",
    ),
    "prefetch": _key(
        4, "Calls of the step that are prepared ahead.", range=at_least(1), may_change=True,
        also="prefetch_factor prefetch_size buffer_size",
    ),
}  # fmt: skip

_AUGMENT = {
    "ops": _key(
        ("flip", "turn"),
        'The operations, in turn: "name", "name(magnitude)" or "name(magnitude, option=..., '
        'p=...)".',
        "texts",
        also="augmentation augmentations transforms transform aa auto_augment autoaugment "
        "rand_augment mixup cutmix hflip vflip fliplr flipud degrees scale translate shear hsv_h "
        "hsv_s hsv_v color_jitter reprob random_erasing erasing mosaic trivial_augment",
    ),
}  # fmt: skip

_MODEL = {
    "name": _key(
        "elu_cnn", "The network; `bcjax models` lists them.",
        also="model arch architecture backbone network net model_name encoder",
    ),
    "dtype": _key(
        "float32", "The type of the computation; parameters stay float32.",
        choices=("float32", "bfloat16"),
        also="precision amp amp_dtype half fp16 bf16 mixed_precision compute_dtype autocast",
    ),
    "weights": _key(
        None, "A file of weights, or a run's folder, to start from; not set: starts from scratch.",
        "text",
        also="pretrained checkpoint_path initial_checkpoint pretrained_path ckpt init_from "
        "pretrained_weights finetune_from load_weights",
    ),
    "weights_head": _key(
        "drop", "What becomes of the classifier in those weights.", choices=("drop", "keep"),
        also="include_top reset_classifier",
    ),
    "hidden": _key(
        None,
        "Units of the classifier's hidden layers; not set: the network's own. (): none.",
        "ints", range=at_least(1),
        also="hidden_units hidden_layers dense_units head_units fc_units",
    ),
    "dropout": _key(
        None, "The dropout in the classifier; not set: the network's own.", "float",
        range=FRACTION, also="drop drop_rate dropout_rate head_dropout classifier_dropout",
    ),
    "drop_path": _key(
        None,
        "The drop path (stochastic depth) of the last block; not set: the network's own.",
        "float", range=FRACTION,
        also="drop_path_rate stochastic_depth_prob stochastic_depth drop_connect "
        "drop_connect_rate survival_probability",
    ),
    "norm": _key(
        None, "The normalisation; not set: as the weights want, or the network's own.", "text",
        choices=("batch", "group", "layer", "frozen-batch"),
        also="norm_layer normalization normalisation bn batch_norm sync_bn",
    ),
    "convention": _key(
        None,
        "Whose arithmetic (padding, epsilons); not set: as the weights want, or the network's own.",
        "text", choices=("torch", "tf", "keras"), also="framework padding_mode",
    ),
    "epsilon": _key(
        None, "The epsilon of the normalisation; not set: as the weights want, or the network's.",
        "float", range=POSITIVE, also="bn_eps norm_eps batch_norm_epsilon bn_epsilon",
    ),
    "alpha": _key(
        None,
        "The width multiplier of networks that have one; not set: the network's own.", "float",
        range=POSITIVE, also="width_mult width_multiplier channel_multiplier width_coefficient",
    ),
    "small_stem": _key(
        False, "A 3x3 stem of stride 1 without pooling, for pictures of 28 to 64 pixels.",
    ),
    "remat": _key(
        False, "Computes blocks again in the backward pass instead of keeping them in memory.",
        also="grad_checkpointing gradient_checkpointing activation_checkpointing checkpointing",
    ),
    "channels": _key(
        3, "The channels of a picture; 1: pictures are turned to grey.", choices=(1, 3),
        also="in_chans in_channels input_channels num_channels ch",
    ),
    "mean": _key(
        None,
        "The mean of each channel of pictures in 0..1; not set: as the weights want, or the "
        "network's own.",
        "floats", also="image_mean pixel_mean img_mean",
    ),
    "std": _key(
        None,
        "The deviation of each channel of pictures in 0..1; not set: as the weights want, or the "
        "network's own.",
        "floats", also="image_std pixel_std img_std",
    ),
    "l1": _key(
        0.0, "The weight of the L1 norm of the classifier's kernels in the loss; 0: off.",
        range=at_least(0), also="l1_regularization kernel_regularizer_l1",
    ),
    "l2": _key(
        0.0, "The weight of the squared L2 norm of the classifier's kernels in the loss; 0: off.",
        range=at_least(0), also="l2_regularization kernel_regularizer kernel_regularizer_l2",
    ),
}  # fmt: skip

_FINETUNE = {
    "trainable": _key(
        "all", 'What trains: all, head, "last 30%", stages by comma, or a regex of paths.',
        also="freeze freeze_backbone freeze_layers frozen_layers unfreeze trainable_layers "
        "layers_to_freeze",
    ),
    "layer_decay": _key(
        1.0, "The factor on the learning rate for each block further from the classifier; 1: off.",
        range=POSITIVE_SHARE, also="layer_wise_lr_decay layerwise_decay llrd",
        advice="0.75 is customary",
    ),
    "first.length": _length(
        "0 steps", "How long a phase before the main one takes; 0: there is none.", may_be_0=True,
        also="freeze_epochs head_epochs warmup_head_epochs",
    ),
    "first.trainable": _key("head", "What trains in that phase."),
    "first.lr": _key(
        None, "The learning rate of that phase; not set: optim.lr.", "float", range=POSITIVE,
        also="head_lr",
    ),
    "first.schedule": _key(
        None, "The schedule of that phase; not set: optim.schedule.", "text", choices=SCHEDULES,
    ),
    "first.warmup": _length("0 steps", "The warm-up of that phase; 0: none.", may_be_0=True),
    "first.patience": _key(
        0, "Ends that phase after this many evaluations without gain; 0: never.",
        range=at_least(0), unit="evaluations",
    ),
}  # fmt: skip

_OPTIM = {
    "name": _key(
        "adamw", "The optimizer.",
        choices=("adam", "adamw", "nadam", "nadamw", "rmsprop", "sgd", "lion", "adafactor"),
        also="optimizer opt optimiser optim",
    ),
    "lr": _key(
        1e-3, "The learning rate after the warm-up.", range=at_least(0),
        also="learning_rate lr0 base_lr max_lr peak_lr initial_learning_rate init_lr eta",
    ),
    "b1": _key(
        0.9, "The decay of the average of the gradient (adam, nadam, lion).", range=FRACTION,
        also="beta1 beta_1 betas opt_betas",
    ),
    "b2": _key(
        0.999, "The decay of the average of the squared gradient (adam, nadam, lion, rmsprop).",
        range=FRACTION, also="beta2 beta_2 rho rmsprop_decay",
    ),
    "eps": _key(
        1e-8, "The number that the optimizer adds to denominators.",
        range=POSITIVE, also="epsilon opt_eps adam_eps",
    ),
    "momentum": _key(0.9, "The momentum (sgd, rmsprop).", range=FRACTION, also="sgd_momentum"),
    "nesterov": _key(False, "Nesterov's momentum (sgd, rmsprop)."),
    "weight_decay": _key(
        1e-4, "The weight decay of kernels; biases and norms never decay.", range=at_least(0),
        also="wd decay weight_decay_rate",
    ),
    "clip_norm": _key(
        0.0, "The global norm to which the gradient is clipped; 0: off.", range=at_least(0),
        also="clip_grad clipnorm global_clipnorm max_grad_norm grad_clip gradient_clip_val "
        "clip_grad_norm max_norm",
    ),
    "schedule": _key(
        "cosine", "How the learning rate falls after the warm-up.", choices=SCHEDULES,
        also="sched lr_scheduler scheduler lr_schedule cos_lr lr_decay",
    ),
    "warmup": _length(
        "0 steps", "How long the learning rate rises at the start; 0: not at all.", may_be_0=True,
        also="warmup_epochs warmup_steps num_warmup_steps warmup_length warmup_ratio",
    ),
    "final_lr_fraction": _key(
        0.0, "The fraction of lr that is reached at the end of the schedule.", range=SHARE,
        also="lrf min_lr eta_min final_lr end_lr alpha lr_min_ratio end_learning_rate",
    ),
    "step_at": _key(
        (0.5, 0.75), 'The fractions of the run at which the schedule "step" drops.', "floats",
        also="milestones decay_milestones decay_epochs boundaries step_size",
    ),
    "step_factor": _key(
        0.1, 'The factor on the learning rate at each drop of the schedule "step".', range=POSITIVE,
        also="decay_rate gamma lr_gamma",
    ),
    "accumulate": _key(
        1, "Micro-batches whose gradients are averaged inside one step.", range=at_least(1),
        also="grad_accum_steps gradient_accumulation_steps accumulate_grad_batches nbs "
        "accumulation_steps",
    ),
    "ema": _key(
        0.0, "The decay of the average of parameters and batch statistics; 0: off.",
        range=FRACTION, also="ema_decay model_ema model_ema_decay ema_momentum use_ema swa polyak",
    ),
    "plateau.patience": _key(
        0, "Lowers the learning rate after this many evaluations without gain; 0: never.",
        range=at_least(0), unit="evaluations",
        also="reduce_lr_patience patience_epochs lr_patience reduce_on_plateau reducelronplateau",
    ),
    "plateau.factor": _key(
        0.2, "The factor on the learning rate each time that it is lowered.",
        also="reduce_lr_factor factor lr_factor",
    ),
    "plateau.min_scale": _key(
        1e-3, "The least share of the learning rate that is left.",
        also="reduce_lr_min_lr",
    ),
}  # fmt: skip

_TRAIN = {
    "batch_size": _key(
        64, "The pictures in a step, over all devices.", range=at_least(1), unit="pictures",
        also="batch bs train_batch_size per_device_batch_size",
    ),
    "length": _length(
        "20 epochs", "How long to train.",
        also="epochs num_epochs n_epochs max_epochs steps num_steps max_steps total_steps "
        "train_steps iterations num_train_epochs",
    ),
    "steps_per_call": _key(
        None, "Steps in one dispatch to the devices; not set: 8 on accelerators, 1 on CPU.", "int",
        range=at_least(1), unit="steps", may_change=True,
        also="steps_per_execution inner_steps steps_per_loop",
    ),
    "log_every": _length(
        "50 steps", "How often a line is logged.", may_change=True,
        also="log_interval logging_steps log_every_steps print_freq log_every_n_steps",
    ),
    "label_smoothing": _key(
        0.0, "The share of each label that is spread over all classes; 0: off.", range=FRACTION,
        also="smoothing label_smooth",
    ),
    "loss": _key(
        "cross_entropy", "The loss.", choices=("cross_entropy", "focal"),
        also="criterion loss_fn loss_function objective",
    ),
    "callbacks": _key(
        (), "Functions of bcjax.register.callback that are called after each evaluation.", "texts",
        also="hooks",
    ),
    "focal_gamma": _key(
        2.0, "The exponent of the focal loss.", range=at_least(0), also="fl_gamma",
    ),
    "class_weights": _key(
        "none", "How the classes are weighted in the loss.", choices=("none", "balanced"),
        also="class_weight cls_weights loss_weights",
    ),
    "sampling": _key(
        "natural", "How often the classes are shown.", choices=("natural", "balanced"),
        also="sampler weighted_sampler oversample oversampling class_balanced balanced_sampling",
    ),
    "repeat": _key(
        (), 'How often an epoch shows each picture of a class, such as ("basophil=4",).', "texts",
        also="repeat_factors aug_repeats upsample",
    ),
    "members": _key(
        1, "Runs that train in one program, each in a folder of its own.", range=at_least(1),
        also="ensemble ensemble_size num_models n_models num_seeds",
    ),
    "vary": _key(
        "seed", "What the members differ in.", choices=("seed", "lr", "fold"),
    ),
    "lrs": _key(
        (), "The learning rate of each member, where they differ in it.", "floats",
        also="learning_rates",
    ),
    "patience": _key(
        0, "Stops after this many evaluations without gain; 0: never.", range=at_least(0),
        unit="evaluations", also="early_stopping early_stopping_patience early_stop",
    ),
    "min_delta": _key(0.0, "What counts as a gain.", also="early_stopping_min_delta"),
}  # fmt: skip

_CHECKPOINT = {
    "every": _length(
        "1 epochs", "How often a checkpoint is written.",
        also="save_period save_freq save_every checkpoint_interval save_steps save_interval "
        "save_every_epochs",
    ),
    "keep": _key(
        2, "The latest checkpoints that are kept, besides the best.", range=at_least(1),
        may_change=True, also="checkpoint_hist save_total_limit max_to_keep save_top_k",
    ),
    "best": _key(
        "accuracy", "The metric by which the best checkpoint is chosen.", choices=METRICS,
        also="monitor eval_metric metric_for_best_model save_best save_best_only best_metric",
    ),
}  # fmt: skip

_EVAL = {
    "every": _length(
        "1 epochs", "How often the watched split is evaluated.",
        also="eval_every val_interval validation_freq eval_interval eval_steps "
        "check_val_every_n_epoch val_every",
    ),
    "split": _key(
        "val", "The split that is watched during training.", choices=SPLITS,
        also="val_split_name eval_split",
    ),
    "final_split": _key(
        "test", "The split on which the best checkpoint is evaluated at the end.", choices=SPLITS,
        also="test_split_name",
    ),
    "batch_size": _key(
        None, "The pictures in a batch of evaluation; not set: train.batch_size.", "int",
        range=at_least(1), unit="pictures",
        also="eval_batch_size val_batch_size validation_batch_size test_batch_size",
    ),
    "resamples": _key(
        1000, "The resamples of the bootstrap behind the 95 % intervals; 0: no intervals.",
        range=at_least(0), may_change=True, also="n_resamples bootstrap n_bootstrap num_bootstrap",
    ),
    "coverage": _key(
        0.9, "The coverage of conformal sets, calibrated on the watched split at the end.",
        range=FRACTION, may_change=True, also="conformal_coverage confidence_level",
    ),
    "error_rate": _key(
        0.05, "The share of errors among the answers that are not called uncertain.",
        range=FRACTION, may_change=True, also="risk selective_risk max_error",
    ),
    "report": _key(
        True, "Writes report.html, figures and a model card at the end.", may_change=True,
    ),
}  # fmt: skip

_TRACK = {
    "to": _key(
        (), "Trackers that receive the results as well: mlflow, wandb.",
        "texts", choices=("mlflow", "wandb"),
        may_change=True, also="log_wandb wandb mlflow report_to logger loggers tracker",
    ),
    "project": _key(
        "bcjax", "The name of the experiment there.", may_change=True,
        also="wandb_project experiment experiment_name project_name",
    ),
    "uri": _key(
        None,
        "The address of MLflow's store or the W&B server; not set: as their environment "
        "variables say.",
        "text",
        may_change=True, also="tracking_uri mlflow_tracking_uri base_url",
    ),
}  # fmt: skip

_MESH = {
    "fsdp": _key(
        1, "The devices over which large parameters are divided; the rest divide the batch.",
        range=at_least(1), may_change=True, also="model_parallel shard sharding tensor_parallel",
    ),
    "fsdp_min_size": _key(
        1 << 18, "Parameters with fewer elements are copied to each device instead.",
        may_change=True, also="min_num_params min_weight_size",
    ),
    "coordinator": _key(
        None,
        "The address, host:port, of process 0; not set: as the environment says, if it does.",
        "text",
        may_change=True, also="coordinator_address master_addr dist_url",
    ),
    "processes": _key(
        None, "The number of processes; not set: as the environment says.", "int",
        range=at_least(1), may_change=True, also="num_processes world_size nnodes num_nodes",
    ),
    "process_id": _key(
        None, "The number of this process, counted from 0; not set: as the environment says.",
        "int", range=at_least(0), may_change=True, also="rank node_rank process_index",
    ),
}  # fmt: skip

BRANCHES: dict[str, tuple[str, dict[str, Key]]] = {
    "": ("The run", _RUN),
    "data": ("The pictures", _DATA),
    "augment": ("Augmentation", _AUGMENT),
    "model": ("The network", _MODEL),
    "finetune": ("What trains", _FINETUNE),
    "optim": ("The optimizer", _OPTIM),
    "train": ("Training", _TRAIN),
    "checkpoint": ("Checkpoints", _CHECKPOINT),
    "eval": ("Evaluation", _EVAL),
    "track": ("Trackers", _TRACK),
    "mesh": ("Devices and processes", _MESH),
}


def _flat() -> Iterator[tuple[str, Key]]:
    for branch, (_, keys) in BRANCHES.items():
        for name, key in keys.items():
            yield f"{branch}.{name}" if branch else name, key


KEYS: dict[str, Key] = dict(_flat())


def add_choice(name: str, choice: str) -> None:
    """Adds a value to those that a key may have, for what is registered from outside."""
    key = KEYS[name]
    if choice not in key.choices:
        KEYS[name] = dataclasses.replace(key, choices=(*key.choices, choice))


LENGTHS = tuple(name for name, key in KEYS.items() if key.kind == "length")

# The keys that had another name in an earlier version.
OLD_KEYS = {"optim.final_lr": "optim.final_lr_fraction"}

# How "not set" was written before it was None, by runs whose config.json has a key of `OLD_KEYS`.
OLD_NOT_SET: dict[str, Any] = {
    "workdir": "", "data.classes": (), "data.resize": "", "data.crop_fraction": 0.0,
    "data.boxes": "", "data.group_by": "", "data.stain": "", "data.stain_reference": "",
    "data.cache_dir": "", "data.tfds_dir": "", "data.threads": 0, "model.weights": "",
    "model.hidden": (), "model.dropout": -1.0, "model.drop_path": -1.0, "model.norm": "",
    "model.convention": "", "model.epsilon": 0.0, "model.alpha": 0.0, "model.mean": (),
    "model.std": (), "finetune.first.lr": 0.0, "finetune.first.schedule": "",
    "train.steps_per_call": 0, "eval.batch_size": 0, "track.uri": "", "mesh.coordinator": "",
    "mesh.processes": 0, "mesh.process_id": -1,
}  # fmt: skip
