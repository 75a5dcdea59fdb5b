"""Names that other programs give to a setting, and the name that it has here."""

SYNONYMS: dict[str, str] = {
    "lr": "train.learning_rate", "max_lr": "train.learning_rate", "peak_lr": "train.learning_rate",
    "min_lr": "train.min_learning_rate_ratio", "min_lr_ratio": "train.min_learning_rate_ratio",
    "warmup": "train.warmup_steps", "warmup_iters": "train.warmup_steps",
    "wd": "train.weight_decay", "decay": "train.weight_decay",
    "clip": "train.grad_clip", "clip_grad": "train.grad_clip", "max_grad_norm": "train.grad_clip",
    "optim": "train.optimizer", "optimiser": "train.optimizer", "opt": "train.optimizer",
    "lr_schedule": "train.schedule", "scheduler": "train.schedule", "lr_scheduler_type": "train.schedule",
    "lr_decay_style": "train.schedule", "warmdown_ratio": "train.decay_share", "cooldown_frac": "train.decay_share",
    "cooldown": "train.decay_share", "decay_fraction": "train.decay_share", "muon_momentum": "train.momentum",
    "matrix_lr": "train.learning_rate", "muon_lr": "train.learning_rate", "embedding_lr": "train.embedding_rate_ratio",
    "unembedding_lr": "train.head_rate_ratio", "head_lr": "train.head_rate_ratio",
    "scalar_lr": "train.vector_rate_ratio", "start_batch_size": "train.initial_batch_size",
    "batch_rampup": "train.batch_warmup_steps",
    "beta1": "train.betas", "beta2": "train.betas",
    "steps": "train.num_steps", "max_steps": "train.num_steps", "iters": "train.num_steps",
    "max_iters": "train.num_steps", "iterations": "train.num_steps", "updates": "train.num_steps",
    "tokens": "train.num_tokens", "max_tokens": "train.num_tokens",
    "batch": "train.batch_size", "bs": "train.batch_size", "batchsize": "train.batch_size",
    "micro_batch": "train.micro_batch_size", "device_batch_size": "train.micro_batch_size",
    "precision": "train.dtype", "log_interval": "train.log_every", "save_every": "train.checkpoint_every",
    "layers": "model.n_layer", "num_layers": "model.n_layer", "n_layers": "model.n_layer", "depth": "model.n_layer",
    "heads": "model.n_head", "num_heads": "model.n_head", "n_heads": "model.n_head",
    "width": "model.n_embd", "d_model": "model.n_embd", "dim": "model.n_embd", "embd": "model.n_embd",
    "hidden_size": "model.n_embd", "embedding_size": "model.n_embd",
    "context": "model.num_positions", "context_length": "model.num_positions", "ctx": "model.num_positions",
    "block_size": "model.num_positions", "n_positions": "model.num_positions", "n_ctx": "model.num_positions",
    "max_position_embeddings": "model.num_positions", "max_seq_len": "model.num_positions",
    "seq_length": "train.seq_len", "sequence_length": "train.seq_len",
    "tie": "model.tied", "tie_weights": "model.tied", "tie_word_embeddings": "model.tied",
    "pos_emb": "model.position_embedding", "positions": "model.position_embedding", "rope": "model.position_embedding",
    "rotary": "model.position_embedding", "position_embedding_type": "model.position_embedding",
    "norm_type": "model.norm", "normalization": "model.norm", "rmsnorm": "model.norm", "rms_norm": "model.norm",
    "qk_layernorm": "model.qk_norm", "query_key_norm": "model.qk_norm", "act": "model.activation",
    "activation_function": "model.activation", "hidden_act": "model.activation", "relu2": "model.activation",
    "zero_initialization": "model.zero_init", "untied": "model.tied", "untie_embeddings": "model.tied",
    "dataset": "data.corpus", "text": "data.corpus", "vocab": "data.tokenizer",
    "eval_every": "evaluate.every", "eval_interval": "evaluate.every", "eval_batch_size": "evaluate.batch_size",
    "data_order": "data.curriculum", "reference_model": "data.curriculum_model", "competence": "data.pacing_start",
    "initial_competence": "data.pacing_start", "anti_curriculum": "data.hardest_first",
    "data_seed": "data.seed", "shuffle_seed": "data.seed",
    "objective": "loss", "criterion": "loss", "random_seed": "seed", "init_from": "start",
}  # fmt: skip

RENAMED: dict[str, str] = {"max_seq_len": "num_positions"}  # read under the old name in files and flags, for good


def synonym(name: str) -> str | None:
    """The setting that another program's name means, such as `train.learning_rate` for `lr`; None for no known one.

    Args:
        name: with or without its section, with hyphens or underscores.

    Example:
        >>> synonym("train.lr"), synonym("block-size"), synonym("zzz")
        ('train.learning_rate', 'model.num_positions', None)
    """
    return SYNONYMS.get(name.lower().replace("-", "_").rpartition(".")[2])
