"use strict";

const place = document.getElementById("swagger");
// Deep links would put a link into each button, which a screen reader cannot tell apart.
SwaggerUIBundle({ url: place.dataset.url, domNode: place, validatorUrl: null, defaultModelsExpandDepth: 0 });
