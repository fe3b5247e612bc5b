"use strict";
// Live where there is a script: the server says that something changed, and the parts
// of the page that are marked are taken anew from the same address. Without it every
// page works, and is as old as when it was opened.
(() => {
  const parts = () => document.querySelectorAll("[data-live][id]");
  const trouble = document.querySelector("[data-trouble='503']");
  if (!window.EventSource || (!parts().length && !trouble)) return;
  const gone = document.getElementById("gone");
  const away = document.getElementById("away");
  let busy = false;
  let again = false;
  let leaving = false;
  let stream = null;

  const isUsed = (part) =>
    part.contains(document.activeElement) && document.activeElement !== part ||
    part.querySelector("input[type=checkbox]:checked");

  const renew = async () => {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch(location.href, { credentials: "same-origin" });
      if (leaving) return;
      if (answer.redirected) { location.reload(); return; }
      gone.hidden = answer.status !== 503 || Boolean(trouble);
      away.hidden = ![502, 504].includes(answer.status);
      if (!answer.ok) return;
      if (trouble) { location.reload(); return; }
      const text = await answer.text();
      if (leaving) return;
      const page = new DOMParser().parseFromString(text, "text/html");
      for (const part of parts()) {
        const fresh = page.getElementById(part.id);
        if (!fresh || isUsed(part) || fresh.innerHTML === part.innerHTML) continue;
        const open = [...part.querySelectorAll("details")].map((one) => one.open);
        part.replaceChildren(...fresh.childNodes);
        part.querySelectorAll("details").forEach((one, n) => { if (open[n] !== undefined) one.open = open[n]; });
      }
    } catch {
      // The server is away, or a proxy before it; the stream tries again.
      away.hidden = leaving;
    } finally {
      busy = false;
      if (again) { again = false; renew(); }
    }
  };

  const stop = () => {
    stream?.close();
    stream = null;
  };

  // A page that nobody looks at listens to nothing: a browser opens only some six
  // connections to a server, and the streams of six pages would leave none.
  const follow = () => {
    if (stream || leaving || document.hidden) return;
    const mine = stream = new EventSource("/live");
    mine.addEventListener("changed", renew);
    mine.addEventListener("gone", () => { gone.hidden = Boolean(trouble); });
    mine.addEventListener("error", () => {
      if (mine !== stream) return;
      renew();
      // Of a refusal (the session has ended, a proxy has nobody to ask) a browser
      // lets it be.
      if (mine.readyState === EventSource.CLOSED) { stop(); setTimeout(follow, 5000); }
    });
  };

  document.addEventListener("visibilitychange", () => document.hidden ? stop() : follow());
  // What is being sent goes somewhere else: nothing may turn it back.
  addEventListener("submit", () => { leaving = true; stop(); });
  addEventListener("pagehide", stop);
  addEventListener("pageshow", (event) => { if (event.persisted) { leaving = false; follow(); } });
  follow();
})();
