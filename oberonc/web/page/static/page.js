"use strict";
// Live where there is a script: the server says that something changed, and the parts
// of the page that are marked are taken anew from the same address. Without it every
// page works, and is as old as when it was opened.
(() => {
  const parts = () => document.querySelectorAll("[data-live][id]");
  const trouble = document.querySelector("[data-trouble='503']");
  if (!window.EventSource || (!parts().length && !trouble)) return;
  const gone = document.getElementById("gone");
  let busy = false;
  let again = false;
  let leaving = false;

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
      gone.hidden = answer.status !== 503;
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
    } catch { /* the server is away: the stream connects again by itself */ } finally {
      busy = false;
      if (again) { again = false; renew(); }
    }
  };

  const stream = new EventSource("/live");
  stream.addEventListener("changed", renew);
  // What is being sent goes somewhere else: nothing may turn it back.
  addEventListener("submit", () => { leaving = true; stream.close(); });
  stream.addEventListener("gone", () => { gone.hidden = Boolean(trouble); });
})();
