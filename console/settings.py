"""Settings. Every value that a site may want to change is an environment variable: see .env.example."""

import os
import secrets
import socket
from pathlib import Path

import environ
from django.utils.translation import gettext_lazy as _

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
environ.Env.read_env(BASE_DIR / ".env")

CONSOLE_HOME = Path(env.str("CONSOLE_HOME", default=str(BASE_DIR / "var"))).expanduser().resolve()
CONSOLE_HOME.mkdir(mode=0o700, parents=True, exist_ok=True)  # datasets, models, password hashes
HOST_NAME = env.str("HOST_NAME", default="") or socket.gethostname()  # trainer workers of several hosts: one each
RUN_FOLDER = CONSOLE_HOME / "run"  # pid files, sockets, the route table: nothing that a restart misses


def _secret_key() -> str:
    """The key of this installation: made once, readable by its user only."""
    path = CONSOLE_HOME / "secret.key"
    if not path.exists():
        new = CONSOLE_HOME / f"secret.{os.getpid()}.key"
        new.touch(mode=0o600)
        new.write_text(secrets.token_urlsafe(50))
        new.rename(path)  # whole or not at all: with an empty key the console would never start again
    return path.read_text()


SECRET_KEY = env.str("SECRET_KEY", default="") or _secret_key()
DEBUG = env.bool("DEBUG", default=False)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["*"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
PUBLIC_URL = env.str("PUBLIC_URL", default="")  # what stage URLs start with; else the address of the request
PORT = env.int("PORT", default=8000)

INSTALLED_APPS = [
    "console",
    "endpoints",
    "models_registry",
    "training",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_htmx",
    "django_q",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "knox",
    "rest_framework",
    "rest_framework_api_key",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "console.middleware.Sessions",
    "console.middleware.PagesMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",  # every view, unless it says login_not_required
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "console.middleware.NotAllowedMiddleware",
]
ROOT_URLCONF = "console.urls"
ASGI_APPLICATION = "console.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "console.context.shell",
            ],
        },
    }
]

DATABASES = {"default": env.db("DATABASE_URL", default=f"sqlite:///{CONSOLE_HOME / 'console.sqlite3'}")}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # IMMEDIATE: a writer waits at BEGIN instead of failing halfway. FULL: an answered write survives a power cut.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;",
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
X_FRAME_OPTIONS = "SAMEORIGIN"

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("ko", _("Korean"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = env.str("TZ_NAME", default="UTC")
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = CONSOLE_HOME / "static"
# npm packages at set-up, by name: nothing third-party is in the repository and nothing comes from a CDN.
NODE_MODULES = BASE_DIR / "node_modules"
STATICFILES_DIRS = [
    BASE_DIR / "static",
    *(
        (f"npm/{name}", NODE_MODULES / name / folder)
        for name, folder in (("@tabler/core", "dist"), ("tus-js-client", "dist"), ("uplot", "dist"))
        if (NODE_MODULES / name / folder).is_dir()
    ),
]
WHITENOISE_USE_FINDERS = True
DATA_UPLOAD_MAX_MEMORY_SIZE = 20 * 1024 * 1024
FILE_UPLOAD_HANDLERS = ["console.uploads.UploadedFiles"]
FILE_UPLOAD_TEMP_DIR = CONSOLE_HOME / "incoming"
FILE_UPLOAD_TEMP_DIR.mkdir(exist_ok=True)

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "console.api.authentication.BearerAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "console.api.errors.exception_handler",
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["console.api.parsers.JSON"],
}
REST_KNOX = {"TOKEN_TTL": None, "AUTH_HEADER_PREFIX": "Bearer", "TOKEN_LIMIT_PER_USER": None}
SPECTACULAR_SETTINGS = {
    "TITLE": "Console API",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,  # a file is binary in a request only
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "console.api.schema.add_errors",
    ],
    "ENUM_NAME_OVERRIDES": {
        "AlgorithmKey": "training.algorithms.CHOICES",
        "DatasetStatus": "training.models.DatasetStatus",
        "ExperimentStatus": "training.models.ExperimentStatus",
        "TrainingStatus": "training.models.TrainingStatus",
        "ModelStatus": "models_registry.models.ModelStatus",
        "EndpointStatus": "endpoints.models.EndpointStatus",
        "StageStatus": "endpoints.models.StageStatus",
        "RolloutStatus": "endpoints.models.RolloutStatus",
    },
}

# --- Work in the background -----------------------------------------------------------------
LONGEST_TRAINING_MINUTES = 30 * 24 * 60
BROKER_URL = env.str("BROKER_URL", default="")  # redis://... ; else the database is the broker
_LONGEST = LONGEST_TRAINING_MINUTES * 60
_GPUS = len(list(Path("/proc/driver/nvidia/gpus").glob("*")))  # one training at a time on each, else one
Q_CLUSTER = {
    "name": "default",
    "workers": env.int("WORKERS", default=2),
    # Redelivery must be impossible while a task still runs: retry > timeout > the longest task.
    "timeout": 6 * 3600,
    "retry": 7 * 3600,
    "max_attempts": 1,
    "ack_failures": True,
    "poll": 0.5,
    "save_limit": 500,
    "catch_up": False,
    "label": "Django Q",
    **({"redis": BROKER_URL} if BROKER_URL else {"orm": "default"}),
    "broker_class": "console.brokers.RedisBroker" if BROKER_URL else "console.brokers.OrmBroker",
    "ALT_CLUSTERS": {
        "training": {
            "workers": env.int("TRAINING_SLOTS", default=max(1, _GPUS)),
            "timeout": _LONGEST + 3600,
            "retry": _LONGEST + 7200,
            "bulk": 1,
            "queue_limit": 1,
        },
    },
}

# When a worker starts: the tasks that an earlier one had fetched are lost with it, and are queued again.
AT_WORKER_START = [
    "training.dataset_files.start_over",
    "training.imports.start_over",
    "models_registry.reconcile.start_over",
    "endpoints.reconcile.start_over",
]
# What brings the database and the world in line, each minute: functions without arguments, by dotted name.
RECONCILERS = [
    "training.reconcile.run",
    "training.dataset_files.reconcile",
    "training.retention.run",
    "training.services.uploads.reconcile",
    "training.imports.reconcile",
    "models_registry.reconcile.reconcile",
    "endpoints.reconcile.run",
]

# --- Limits ---------------------------------------------------------------------------------
UPLOAD_EXPIRY_DAYS = env.int("UPLOAD_EXPIRY_DAYS", default=7)  # for an interrupted upload that nobody goes on with
UPLOAD_STALLED_SECONDS = env.int("UPLOAD_STALLED_SECONDS", default=60)  # with no byte: its page tries it again
UPLOAD_MAX_BYTES = env.int("UPLOAD_MAX_BYTES", default=20 * 1024**3)
ZIP_MAX_ENTRIES = env.int("ZIP_MAX_ENTRIES", default=1_000_000)
ZIP_MAX_BYTES = env.int("ZIP_MAX_BYTES", default=100 * 1024**3)  # of everything in it, unpacked
ZIP_MAX_RATIO = env.int("ZIP_MAX_RATIO", default=100)  # unpacked / packed: an entry over 1 MiB, a zip over 10
IMAGE_MAX_PIXELS = env.int("IMAGE_MAX_PIXELS", default=100_000_000)
DISK_LOW_BYTES = env.int("DISK_LOW_BYTES", default=5 * 1024**3)  # less free: the dashboard warns
STAGE_MAX_BODY = 10 * 1024 * 1024
STAGE_TIMEOUT_SECONDS = 60

# --- Imports: what editors may take datasets from, beside their own uploads -------------------
IMPORT_ROOTS = env.list("IMPORT_ROOTS", default=[])  # absolute folders of this server, separated by commas
IMPORT_S3_BUCKET = env.str("IMPORT_S3_BUCKET", default="")
IMPORT_S3_ENDPOINT = env.str("IMPORT_S3_ENDPOINT", default="")  # empty: Amazon's own
IMPORT_S3_REGION = env.str("IMPORT_S3_REGION", default="us-east-1")
IMPORT_S3_ACCESS_KEY = env.str("IMPORT_S3_ACCESS_KEY", default="")
IMPORT_S3_SECRET_KEY = env.str("IMPORT_S3_SECRET_KEY", default="")

# --- Training and serving -------------------------------------------------------------------
# A folder with resnet-50/, mit-b3/ and detr-resnet-50/ for a site without internet.
PRETRAINED_FOLDER = env.str("PRETRAINED_FOLDER", default="")
DOWNLOAD_SECONDS = env.int("DOWNLOAD_SECONDS", default=120)
# auto, fp32 or bf16: what forward and backward passes compute in (training/trainer/speed.py).
TRAINING_PRECISION = env.str("TRAINING_PRECISION", default="auto")
# A JSON file {algorithm key: {Hugging Face config field: value}}: a smaller network, for tests and trials.
ARCHITECTURES_FILE = env.str("ARCHITECTURES_FILE", default="")
TRAINER_MEMORY_BYTES = env.int("TRAINER_MEMORY_BYTES", default=0)  # what one plans with on a CPU; 0: what there is
STOP_GRACE_SECONDS = env.int("STOP_GRACE_SECONDS", default=60)
MAX_AUTOMATIC_RESUMES = 3
LOADER_WORKERS = env.int("LOADER_WORKERS", default=-1)  # processes that load a trainer's images; -1: by its device
# Without a sign of the host that runs a training for so long, another host takes it over.
LEASE_SECONDS = env.int("LEASE_SECONDS", default=30)
TENSORBOARD_IDLE_SECONDS = env.int("TENSORBOARD_IDLE_SECONDS", default=600)
ENGINE_READY_SECONDS = env.int("ENGINE_READY_SECONDS", default=180)  # to load a model, warm it up and probe it
SERVING_PRECISION = env.str("SERVING_PRECISION", default="auto")  # "fp32": no stage answers in less
CAPACITY_AUTOMATIC = env.bool("CAPACITY_AUTOMATIC", default=True)  # measure each stage once, when it is ACTIVE
SERVING_THREADS = env.int("SERVING_THREADS", default=0)  # per engine process; 0: its share of the cores
# An engine that takes more is replaced; 0: four times what it took when it became ready, at least 2 GiB.
STAGE_ENGINE_MEMORY_BYTES = env.int("STAGE_ENGINE_MEMORY_BYTES", default=0)
STAGE_STATISTICS_DAYS = env.int("STAGE_STATISTICS_DAYS", default=90)  # how long the minutes of a stage's calls are kept
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")  # who may read /metrics; empty: this machine only

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "filters": {"not_readyz": {"()": "console.logfilters.NotReadyz"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["not_readyz"]}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="INFO")},
}
