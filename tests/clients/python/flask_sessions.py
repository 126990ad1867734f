"""A site of Flask, its sessions kept by Flask-Session. Serves until it is ended."""

import datetime
import os

import flask
from flask_session import Session
from ring_connection import ring
from werkzeug.serving import make_server

site = flask.Flask(__name__)
site.config["SESSION_TYPE"] = "redis"
site.config["SESSION_REDIS"] = ring(os.environ["NODES"].split(","))
site.config["PERMANENT_SESSION_LIFETIME"] = datetime.timedelta(seconds=int(os.environ["LIFETIME"]))
Session(site)


@site.post("/login/<user>")
def login(user):
    flask.session["user"] = user
    flask.session["count"] = 0
    return {"user": user, "count": 0}


@site.post("/count")
def count():
    if "user" not in flask.session:
        return {"error": "nobody is logged in"}, 401
    flask.session["count"] += 1
    return {"user": flask.session["user"], "count": flask.session["count"]}


server = make_server("127.0.0.1", 0, site, threaded=True)
print(f"serving at http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
