"""What answers without asking who it is: each with its reason."""

PUBLIC_ROUTES: dict[str, str] = {
    "/login/": "one comes in here",
    "/login/oidc/": "one comes in here from another site, which has signed who one is",
    "/setup/<str:token>/": "the first admin holds a one-time link and nothing else",
    "/join/<str:token>/": "who is invited holds a one-time link and nothing else",
    "/register/": "who has no account asks for one here, where that is switched on",
    "/reset/<str:token>/": "who forgot his password holds a one-time link and nothing else",
    "/admin/login/": "sends operators on to the login and to the elevation",
    "/api/v2/auth/login/": "scripts come in here",
    "/api/v2/schema/": "documentation: the same for everybody, holds no data",
    "/api/v2/spec-schema/": "documentation: the form of a specification",
    "/health": "MLflow's client asks it before it shows a token; says that somebody is there, nothing else",
    "/version": "MLflow's client asks it; says which MLflow is spoken here, nothing else",
    "/healthz": "load balancers ask it; says that the process is alive, nothing else",
    "/readyz": "load balancers ask it; says whether database and hints answer, nothing else",
}
