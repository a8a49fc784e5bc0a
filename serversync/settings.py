"""The only reader of the environment. What an administrator changes at run time is a column."""

import re
from pathlib import Path

import django_stubs_ext
import environ
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _

# Lets `ModelAdmin[Mailbox]` and the like be written without quotes.
django_stubs_ext.monkeypatch()

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env(
    ENV_FILE=(str, str(BASE_DIR / ".env")),
    DEBUG=(bool, False),
    SECRET_KEY=(str, ""),
    ALLOWED_HOSTS=(list, ["127.0.0.1", "localhost", "[::1]"]),
    CSRF_TRUSTED_ORIGINS=(list, []),
    DATABASE_URL=(str, f"sqlite:///{BASE_DIR / 'var' / 'serversync.sqlite3'}"),
    DATABASE_CONN_MAX_AGE=(int, 60),
    FIELD_ENCRYPTION_KEYS=(list, []),
    MAIL_STORAGE_DIR=(str, str(BASE_DIR / "var" / "mail")),
    MAIL_STORAGE_SHARED=(bool, False),
    MAIL_DENIED_NETWORKS=(list, []),
    RECEIPT_HOOKS=(list, []),
    RECEIPT_HOOK_SECONDS=(float, 5.0),
    REDIRECT_ALL_MAIL_TO=(str, ""),
    SITE_MAIL_SENDER=(str, ""),
    SITE_MAIL_SENDERS=(list, []),
    OAUTH_CLIENT_ID=(str, ""),
    OAUTH_CLIENT_SECRET=(str, ""),
    OAUTH_TENANT_ID=(str, ""),
    QUEUE_WORKERS=(int, 2),
    QUEUE_WORKER_MAX_MB=(int, 512),
    POLL_THREADS=(int, 32),
    SECURE=(bool, False),
    BEHIND_PROXY=(bool, False),
    SESSION_HOURS=(float, 12.0),
    SESSION_IDLE_MINUTES=(float, 120.0),
    TIME_ZONE=(str, "UTC"),
    LANGUAGE_CODE=(str, "en"),
    LOG_LEVEL=(str, "INFO"),
    LOG_FORMAT=(str, "line"),
    METRICS_TOKEN=(str, ""),
)
environ.Env.read_env(env.str("ENV_FILE"), overwrite=False)

# A missing key stops the start: sessions and stored mail passwords depend on these two.
SECRET_KEY = env.str("SECRET_KEY")
FIELD_ENCRYPTION_KEYS = env.list("FIELD_ENCRYPTION_KEYS")
DEBUG = env.bool("DEBUG")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS")
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS")

INSTALLED_APPS = [
    "serversync.apps.ServersyncConfig",
    "tracking.apps.TrackingConfig",
    "activities.apps.ActivitiesConfig",
    "mailboxes.apps.MailboxesConfig",
    "serversync.apps.ConsoleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_q",
    "csp",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "serversync.people.audit.Acting",
    "serversync.people.sessions.Gate",
    "mailboxes.timezones.OwnTimeZone",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "serversync.urls"
WSGI_APPLICATION = "serversync.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Database. No pool here: the cluster forks, and a pool shared over a fork stalls its workers.
DATABASES = {"default": env.db("DATABASE_URL")}
DATABASES["default"]["CONN_MAX_AGE"] = env.int("DATABASE_CONN_MAX_AGE")
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    Path(DATABASES["default"]["NAME"]).parent.mkdir(parents=True, exist_ok=True)
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
ATOMIC_REQUESTS = False
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "mailboxes.SystemUser"

# Mail. Records of these models are found by their addresses (R3.30); a site adds its own here.
EMAIL_ENABLED_MODELS = [
    "mailboxes.SystemUser",
    "mailboxes.Queue",
    "activities.Contact",
    "activities.Account",
    "activities.Lead",
]
MAIL_DENIED_NETWORKS = env.list("MAIL_DENIED_NETWORKS")
# The site's own code on receipt, as dotted paths (R3.52a), and for how long each is waited (R9.11).
RECEIPT_HOOKS = env.list("RECEIPT_HOOKS")
RECEIPT_HOOK_SECONDS = env.float("RECEIPT_HOOK_SECONDS")
# On a site that must reach nobody: the one address that all outgoing mail goes to (R5.30). What is no
# address stops the start, for mail would go to real people, or nowhere.
REDIRECT_ALL_MAIL_TO = env.str("REDIRECT_ALL_MAIL_TO").strip()
if REDIRECT_ALL_MAIL_TO and not re.fullmatch(r"[^@\s,;<>]+@[^@\s,;<>]+", REDIRECT_ALL_MAIL_TO):
    raise ImproperlyConfigured("REDIRECT_ALL_MAIL_TO must be one address, or empty.")
# Mail of the site's own code leaves through this mailbox; of some From addresses, through others (R5.34).
SITE_MAIL_SENDER = env.str("SITE_MAIL_SENDER").strip()
SITE_MAIL_SENDERS = {
    address.strip().lower(): mailbox.strip()
    for address, _equals, mailbox in (pair.partition("=") for pair in env.list("SITE_MAIL_SENDERS"))
}
if SITE_MAIL_SENDER:
    EMAIL_BACKEND = "serversync.site_mail.MailboxBackend"
    DEFAULT_FROM_EMAIL = SERVER_EMAIL = SITE_MAIL_SENDER
elif REDIRECT_ALL_MAIL_TO:  # through no mailbox it can't be redirected, and reaches nobody
    EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
# The site's own client at Microsoft's authority, for server-to-server authentication (R1.20).
OAUTH_CLIENT_ID = env.str("OAUTH_CLIENT_ID")
OAUTH_CLIENT_SECRET = env.str("OAUTH_CLIENT_SECRET")
OAUTH_TENANT_ID = env.str("OAUTH_TENANT_ID")
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
    "mail": {
        "BACKEND": "activities.storage.DurableFileSystemStorage",
        "OPTIONS": {"location": env.str("MAIL_STORAGE_DIR"), "base_url": None},
    },
}
MAIL_STORAGE_SHARED = env.bool("MAIL_STORAGE_SHARED")

# Queue. The truth is in our tables: a job carries ids and may be lost or delivered twice.
Q_CLUSTER = {
    "name": "serversync",
    "orm": "default",
    "broker_class": "serversync.broker.CountingOrm",
    "workers": env.int("QUEUE_WORKERS"),
    "timeout": 240,
    "retry": 300,
    "max_attempts": 3,
    "queue_limit": env.int("QUEUE_WORKERS"),
    "bulk": 1,
    "poll": 0.5,
    "save_limit": 0,
    "catch_up": False,
    # A worker is replaced after so many jobs, and after the job in which it took so much memory (KB).
    "recycle": 200,
    "max_rss": env.int("QUEUE_WORKER_MAX_MB") * 1024,
    "label": _("Jobs"),
}
# How many idle mailboxes one worker looks at at a time; 0: each in its turn.
POLL_THREADS = env.int("POLL_THREADS")

# People
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 10},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
# A session ends so long after the sign-in, and so long after its last page.
SESSION_COOKIE_AGE = int(env.float("SESSION_HOURS") * 3600)
SESSION_IDLE_MINUTES = env.float("SESSION_IDLE_MINUTES")

# Words and time
LANGUAGE_CODE = env.str("LANGUAGE_CODE")
LANGUAGES = [("en", _("English")), ("ja", _("Japanese"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
TIME_ZONE = env.str("TIME_ZONE")
USE_TZ = True
USE_I18N = True

# Pages
STATIC_URL = "static/"
STATIC_ROOT = BASE_DIR / "var" / "static"
STATICFILES_DIRS = [BASE_DIR / "static"] if (BASE_DIR / "static").exists() else []
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'self'"],
    },
}
X_FRAME_OPTIONS = "SAMEORIGIN"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = env.bool("SECURE")
SECURE_HSTS_SECONDS = 31_536_000 if env.bool("SECURE") else 0
SECURE_REFERRER_POLICY = "same-origin"
# Only where a proxy sets this header itself: whoever else could send it would pass for HTTPS.
BEHIND_PROXY = env.bool("BEHIND_PROXY")
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None

# Health and metrics. Probes come without TLS, from the machine or the cluster manager.
METRICS_TOKEN = env.str("METRICS_TOKEN").strip()
if METRICS_TOKEN and len(METRICS_TOKEN) < 16:
    raise ImproperlyConfigured("METRICS_TOKEN must have at least 16 characters, or be empty.")
SECURE_REDIRECT_EXEMPT = [r"^healthz$"]

# Logs: no secrets, no message bodies; see mailboxes.secrets.
LOG_FORMAT = env.str("LOG_FORMAT")
if LOG_FORMAT not in ("line", "json"):
    raise ImproperlyConfigured("LOG_FORMAT must be line or json.")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "{asctime} {levelname} {name} {message}", "style": "{"},
        "json": {"()": "serversync.logs.JsonLines"},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL")},
    "loggers": {"exchangelib": {"level": "WARNING"}},
}
