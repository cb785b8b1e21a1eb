import http from "k6/http";
import { check } from "k6";
import { SharedArray } from "k6/data";
const words = new SharedArray("words", () => open("../words.csv").trim().split("\n").slice(1));
export default function () {
  const drawn = Math.random();
  if (drawn < 0.6) {
    http.get(`${__ENV.URL}/`);
  } else if (drawn < 0.8) {
    const word = words[Math.floor(Math.random() * words.length)];
    const reply = http.get(http.url`${__ENV.URL}/search?q=${word}`);
    check(reply, { found: (reply) => reply.json("items").length > 0 });
  } else {
    const headers = { "Content-Type": "application/json" };
    http.post(`${__ENV.URL}/orders`, JSON.stringify({ sku: "SKU-0001" }), { headers });
  }
}
