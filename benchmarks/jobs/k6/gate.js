import http from "k6/http";
export const options = {
  scenarios: {
    gate: { executor: "constant-arrival-rate", rate: 100, duration: "5s", preAllocatedVUs: 50 },
  },
  thresholds: { http_req_duration: ["p(99)<250"], http_req_failed: ["rate==0"] },
};
export default function () {
  http.get(`${__ENV.URL}/`);
}
