"""A site of Django, its sessions kept in a cache that the caller configures. Serves until it is ended."""

import os
import socketserver
import wsgiref.simple_server

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path


def login(request, user):
    request.session.cycle_key()  # as django.contrib.auth does it
    request.session["user"] = user
    request.session["count"] = 0
    return JsonResponse({"user": user, "count": 0})


def count(request):
    if "user" not in request.session:
        return JsonResponse({"error": "nobody is logged in"}, status=401)
    request.session["count"] += 1
    return JsonResponse({"user": request.session["user"], "count": request.session["count"]})


urlpatterns = [path("login/<user>", login), path("count", count)]


class Server(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True


def serve(cache):
    settings.configure(
        SECRET_KEY="of this test",
        ALLOWED_HOSTS=["127.0.0.1"],
        ROOT_URLCONF=__name__,
        MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
        CACHES={"default": cache},
        SESSION_ENGINE="django.contrib.sessions.backends.cache",
        SESSION_COOKIE_AGE=int(os.environ["LIFETIME"]),
    )
    django.setup()
    server = wsgiref.simple_server.make_server("127.0.0.1", 0, get_wsgi_application(), Server)
    print(f"serving at http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
