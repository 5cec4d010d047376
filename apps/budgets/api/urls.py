from django.urls import path
from rest_framework.routers import SimpleRouter

from apps.budgets.api.views import BudgetViewSet, CostsView, LedgerViewSet, PriceViewSet, StatementView

router = SimpleRouter()
router.register("budgets", BudgetViewSet, basename="api-budget")
router.register("prices", PriceViewSet, basename="api-price")
router.register("ledger", LedgerViewSet, basename="api-ledger")
urlpatterns = [
    path("costs/", CostsView.as_view({"get": "list"}), name="api-costs"),
    path("statement/", StatementView.as_view({"get": "retrieve"}), name="api-statement"),
    *router.urls,
]
