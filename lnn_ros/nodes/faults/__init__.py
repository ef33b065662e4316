"""The fault campaign: one fault at a time into a drone in flight, judged by a bystander.

``rows.py`` says what is injected and what must come of it; ``relay.py`` stands between the
simulator and the controller and spoils streams; ``judge.py`` hears what leaves and ``verdict.py``
says whether it was safe; ``stage.py`` has the processes, ``campaign.py`` the order of things.
"""
