// Requests to the server this page came from. Every answer is JSON, or a reason why not.

const KEY = "seem-token";

export class Refused extends Error {
  constructor(status, reason) { super(reason); this.status = status; }
}

// The token stands behind the #, which is never sent; it is taken out of the address at once.
export function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    sessionStorage.setItem(KEY, given);
    history.replaceState(null, "", location.pathname);
  }
}

export function setToken(token) { sessionStorage.setItem(KEY, token); }

async function send(method, path, body, type) {
  const headers = {};
  const token = sessionStorage.getItem(KEY);
  if (token) headers.Authorization = `Bearer ${token}`;
  if (type) headers["Content-Type"] = type;
  let response;
  try {
    response = await fetch(path, { method, headers, body });
  } catch {
    throw new Refused(0, "the server does not answer; is the demo still running?");
  }
  if (response.ok) return response;
  let reason = `${response.status} ${response.statusText}`;
  if (response.headers.get("content-type")?.includes("json")) reason = (await response.json()).error ?? reason;
  throw new Refused(response.status, reason);
}

export const get = async (path) => (await send("GET", path)).json();
export const post = async (path, value) =>
  (await send("POST", path, JSON.stringify(value ?? {}), "application/json")).json();
export const patch = async (path, value) =>
  (await send("PATCH", path, JSON.stringify(value), "application/json")).json();
export const remove = async (path) => {
  const response = await send("DELETE", path);
  return response.status === 204 ? null : response.json();
};
export const sendPhoto = async (method, path, file) =>
  (await send(method, path, file, "application/octet-stream")).json();
export const blob = async (path) => {
  const response = await send("GET", path);
  const named = /filename\*=UTF-8''([^;]+)/.exec(response.headers.get("content-disposition") ?? "");
  return { name: named ? decodeURIComponent(named[1]) : "photo", content: await response.blob() };
};
